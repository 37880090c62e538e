/* key_source.c - parse a source, and find its value in a request. */
/* SPDX-License-Identifier: MIT */
#include "request/key_source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/spelling.h"

static const struct {
    const char *word;
    bool named;  /* a ':' and a NAME follow; what is read by name may be a secret */
    bool secret; /* unless key_source_show says otherwise */
} kinds[] = {
    [KEY_SOURCE_IP] = {"ip", false, false},         [KEY_SOURCE_QUERY] = {"query", true, false},
    [KEY_SOURCE_HEADER] = {"header", true, true},   [KEY_SOURCE_COOKIE] = {"cookie", true, true},
    [KEY_SOURCE_PATH] = {"path", false, false},     [KEY_SOURCE_METHOD] = {"method", false, false},
    [KEY_SOURCE_HOST] = {"host", false, false},     [KEY_SOURCE_ENV] = {"env", true, false},
    [KEY_SOURCE_GLOBAL] = {"global", false, false},
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* ---- Reading a source of the limits file ---- */

#define THE_SOURCES                                                                                \
    "the sources are ip, query:NAME, header:NAME, cookie:NAME, path, method, host, env:NAME, "     \
    "global, and lower(SOURCE) of each"

/* Write the FastCGI parameter of the header NAME, in lower case, to OUT (RFC 3875, 4.1.18): HTTP_
 * and the name in capitals with '-' as '_'.  Content-Type and Content-Length have no HTTP_. */
static void header_parameter(const char *name, char *out)
{
    bool bare = strcmp(name, "content-type") == 0 || strcmp(name, "content-length") == 0;

    strcpy(out, bare ? "" : "HTTP_");
    for (out += strlen(out); *name; name++)
        *out++ = (char)(*name == '-' ? '_' : toupper((unsigned char)*name));
    *out = '\0';
}

static const char *parse_header_name(struct key_source *source)
{
    for (char *byte = source->name; *byte; byte++) {
        if (!isalnum((unsigned char)*byte) && *byte != '-')
            return "the name of a header has letters, digits and '-' only; write it as in "
                   "header:X-API-Key";
        *byte = (char)tolower((unsigned char)*byte);
    }
    header_parameter(source->name, source->parameter);
    return NULL;
}

static const char *parse_env_name(struct key_source *source)
{
    for (const char *byte = source->name; *byte; byte++)
        if (!isalnum((unsigned char)*byte) && *byte != '_')
            return "the name of a FastCGI parameter has letters, digits and '_' only; write it as "
                   "in "
                   "env:REMOTE_USER";
    strcpy(source->parameter, source->name);
    return NULL;
}

/* Whether the text after the space at NAME[AT] looks like another source that is joined by a comma
 * or a word, as in ", ip" or " or ip". */
static bool joins_sources(struct span name, size_t at)
{
    static const char *const words[] = {"or ", "and ", "OR ", "AND ", "& "};
    const char *rest = name.text + at + 1;
    size_t left = name.len - at - 1;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (left > strlen(words[i]) && memcmp(rest, words[i], strlen(words[i])) == 0)
            return true;
    return left > 0 && at > 0 && name.text[at - 1] == ',';
}

static const char *parse_name(struct span name, struct key_source *source)
{
    if (name.len == 0)
        return "this source needs a name; write query:NAME, header:NAME, cookie:NAME or "
               "env:NAME, such as query:user";
    if (name.len > KEY_SOURCE_NAME_MAX)
        return "the name of a source is too long; the most is 64 bytes";
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.text[i] <= ' ' || name.text[i] == 0x7f)
            return joins_sources(name, i)
                       ? "several sources in one; join alternatives with |, and sources that "
                         "count together with +, such as header:X-API-Key | query:user | ip"
                       : "a space or a control character in the name of a source; "
                         "write it decoded and without them";
    memcpy(source->name, name.text, name.len);
    if (source->kind == KEY_SOURCE_HEADER)
        return parse_header_name(source);
    if (source->kind == KEY_SOURCE_ENV)
        return parse_env_name(source);
    if (source->kind == KEY_SOURCE_COOKIE && strpbrk(source->name, "=;,\""))
        return "a cookie's name in a key holds none of = ; , and \"; write it as in cookie:session";
    return NULL;
}

/* TEXT without a lower(...) around it; *LOWER says whether there was one. */
static struct span without_lower(struct span text, bool *lower)
{
    static const char open[] = "lower(";
    size_t len = sizeof open - 1;

    *lower = text.len > len && memcmp(text.text, open, len) == 0 && text.text[text.len - 1] == ')';
    return *lower ? (struct span){text.text + len, text.len - len - 1} : text;
}

/* The message for WORD, which is not a source.  NAMED: a name follows it.  The text belongs to the
 * thread and is valid until the next call. */
static const char *unknown_source(struct span word, bool named)
{
    static _Thread_local char message[512];
    char text[SPELLING_WORD_MAX + 1] = "";
    const char *words[KINDS], *nearest = NULL;

    for (size_t i = 0; i < KINDS; i++)
        words[i] = kinds[i].word;
    for (size_t i = 0; i < word.len && word.len < sizeof text; i++)
        text[i] = (char)tolower((unsigned char)word.text[i]);
    if (text[0] != '\0')
        nearest = spelling_nearest(text, words, KINDS);
    bool is_name = !named && !nearest && text[strspn(text, "abcdefghijklmnopqrstuvwxyz_-")] == '\0';
    for (size_t i = 0; text[i] != '\0'; i++)
        text[i] = isgraph((unsigned char)word.text[i]) ? word.text[i] : '?';
    if (text[0] == '\0')
        return "unknown source in a key; " THE_SOURCES;
    if (nearest)
        snprintf(message, sizeof message, "unknown source '%s' in a key; did you mean '%s'? %s",
                 text, nearest, THE_SOURCES);
    else if (is_name)
        snprintf(message, sizeof message,
                 "unknown source '%s' in a key; did you mean query:%s or header:%s? %s", text, text,
                 text, THE_SOURCES);
    else
        snprintf(message, sizeof message, "unknown source '%s' in a key; %s", text, THE_SOURCES);
    return message;
}

const char *key_source_parse(struct span text, struct key_source *out)
{
    bool lower;

    text = without_lower(text, &lower);
    const char *colon = text.len > 0 ? memchr(text.text, ':', text.len) : NULL;
    size_t word = colon ? (size_t)(colon - text.text) : text.len;

    if (text.len == 0)
        return "an empty source in a key; write SOURCE, SOURCE + SOURCE or SOURCE | "
               "SOURCE; " THE_SOURCES;
    for (size_t i = 0; i < KINDS; i++) {
        if (strlen(kinds[i].word) != word || memcmp(kinds[i].word, text.text, word) != 0)
            continue;
        *out = (struct key_source){
            .kind = (enum key_source_kind)i, .lower = lower, .secret = kinds[i].secret};
        if (kinds[i].named)
            return parse_name(colon ? (struct span){colon + 1, text.len - word - 1}
                                    : (struct span){text.text, 0},
                              out);
        return colon ? "this source takes no name; " THE_SOURCES : NULL;
    }
    return unknown_source((struct span){text.text, word}, colon != NULL);
}

const char *key_source_word(enum key_source_kind kind)
{
    return kinds[kind].word;
}

void key_source_show(struct key_source *source, bool show)
{
    source->secret = !show && kinds[source->kind].named;
}

/* ---- Looking a source up in a request ---- */

bool key_source_can_be_absent(const struct key_source *source)
{
    /* HTTP/1.0 does not require Host. */
    return kinds[source->kind].named || source->kind == KEY_SOURCE_HOST;
}

/* The method, with HEAD as GET, because HEAD is GET without the response body (RFC 9110, 9.3.2): a
 * client must not get a second bucket by it. */
static const char *method_of(const struct request *request)
{
    return strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
}

static struct found find(const struct key_source *source, struct view *view)
{
    struct found found = {.ambiguous = false};
    const char *method;

    switch (source->kind) {
    case KEY_SOURCE_IP:
        found.value = view_client(view);
        break;
    case KEY_SOURCE_QUERY:
        return view_query(view, source->name);
    case KEY_SOURCE_HEADER:
    case KEY_SOURCE_ENV:
        return view_parameter(view, source->parameter);
    case KEY_SOURCE_COOKIE:
        return view_cookie(view, source->name);
    case KEY_SOURCE_PATH:
        found.value = view_path(view);
        break;
    case KEY_SOURCE_METHOD:
        method = method_of(view->request);
        found.value = (struct span){method, strlen(method)};
        break;
    case KEY_SOURCE_HOST:
        found.value = view_host(view);
        found.ambiguous = view->host_unreadable;
        break;
    case KEY_SOURCE_GLOBAL:
        break;
    }
    return found;
}

struct found key_source_value(const struct key_source *source, struct view *view)
{
    struct found found = find(source, view);

    if (source->lower && found.value.len > 0) {
        found.value = memo_lower(&view->memo, found.value, &view->scratch);
        found.ambiguous = !found.value.text;
    }
    return found;
}
