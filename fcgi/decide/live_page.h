/* live_page.h - the page that shows what happens now: live.html, part of the program. */
#ifndef LIVE_PAGE_H
#define LIVE_PAGE_H

#include <stddef.h>

/* Its Content-Security-Policy: it loads nothing but /-/status, and no other page may frame it. */
#define LIVE_PAGE_POLICY                                                                           \
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "                  \
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "                     \
    "frame-ancestors 'none'"

/* LIVE_PAGE_LEN bytes of HTML. */
extern const unsigned char live_page[];
extern const size_t live_page_len;

#endif
