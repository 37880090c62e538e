/* live_page.c - live.html as bytes. */
/* SPDX-License-Identifier: MIT */
#include "decide/live_page.h"

const unsigned char live_page[] = {
#include "live.html.inc"
};
const size_t live_page_len = sizeof live_page;
