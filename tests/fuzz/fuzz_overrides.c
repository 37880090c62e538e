/* fuzz_overrides.c - the first override that matches the client is found, in a file as in Redis */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/cookie.h"
#include "base/glob.h"
#include "base/network.h"
#include "limits/override_key.h"
#include "limits/overrides.h"

#define KEYS_MAX    8
#define PREFIX_BITS 64

/* The overrides of a limit, and their texts. */
struct set {
    struct key_spec spec;
    struct overrides *overrides, *stored;
    char *text[KEYS_MAX];
    const char *entry[KEYS_MAX][KEY_PARTS_MAX];
    size_t entries[KEYS_MAX];
    unsigned earlier[KEYS_MAX]; /* the line of the earlier one that a warning names; or 0 */
    size_t count;
};

/* Add override I, which is one of the file already, by the names that it would have in Redis. */
static void store(struct set *set, size_t i, const struct override *override)
{
    static struct override_text text;
    char name[OVERRIDE_KEY_SIZE];

    for (size_t first = 0, end; first < set->spec.count; first = end) {
        end = key_alternative_end(&set->spec, first);
        text = (struct override_text){.text = set->entry[i],
                                      .count = set->entries[i],
                                      .spec = &set->spec,
                                      .first = first,
                                      .ipv6_prefix_bits = PREFIX_BITS};
        if (end - first != text.count || override_text_read(&text))
            continue;
        must(override_key_write(&text, "a.limit", name) < sizeof name, "a name has room");
        must(!override_key_add(set->stored, &set->spec, name, PREFIX_BITS, override),
             "a name that was written can be read");
    }
}

/* Add an override, whose key is the next text of INPUT.  Its entries are separated by ','. */
static void add(struct set *set, struct input *input)
{
    size_t i = set->count;
    struct override override = {.line = (unsigned)i + 1, .capacity = 1, .interval_us = 1};
    char *rest = set->text[i] = next_text(input);

    for (set->entries[i] = 0; rest && set->entries[i] < KEY_PARTS_MAX; set->entries[i]++)
        set->entry[i][set->entries[i]] = strsep(&rest, ",");
    const char *error = overrides_add(set->overrides, &set->spec, "a.limit", PREFIX_BITS,
                                      set->entry[i], set->entries[i], &override, &set->earlier[i]);
    if (error) {
        must_advise(error);
        free(set->text[i]);
        return;
    }
    must(set->earlier[i] < override.line, "an earlier override is on an earlier line");
    store(set, i, &override);
    set->count++;
}

/* Whether an alternative of COUNT sources has ip at position I, so that an address there means a
 * client. */
static bool has_ip(const struct key_spec *spec, size_t count, size_t i)
{
    for (size_t first = 0, end; first < spec->count; first = end) {
        end = key_alternative_end(spec, first);
        if (end - first == count && spec->part[first + i].source.kind == KEY_SOURCE_IP)
            return true;
    }
    return false;
}

static bool is_all(const char *text)
{
    return strcmp(text, "*") == 0 || strcmp(text, "**") == 0;
}

/* TEXT in the form that values of SOURCE have.  The caller frees it. */
static char *spelled(const char *text, const struct key_source *source)
{
    char *wanted = malloc(strlen(text) + 4);
    struct scratch scratch = {wanted, strlen(text), 0};
    struct span cookie = {NULL, 0};

    if (source->kind == KEY_SOURCE_COOKIE)
        cookie = cookie_value((struct span){text, strlen(text)}, &scratch);
    if (cookie.text && !memchr(cookie.text, '\0', cookie.len))
        wanted[cookie.len] = '\0';
    else
        strcpy(wanted, text);
    for (char *byte = wanted; (source->kind == KEY_SOURCE_HOST || source->lower) && *byte; byte++)
        *byte = (char)tolower((unsigned char)*byte);
    if (source->kind == KEY_SOURCE_METHOD && strcmp(wanted, "HEAD") == 0)
        strcpy(wanted, "GET");
    return wanted;
}

/* Whether TEXT matches the path.  The overrides here are not stricter than their limit, so they
 * apply only if the path has one reading, with its slash as it was sent. */
static bool path_text_fits(const char *text, struct span value, struct view *view)
{
    const struct path *path = view_paths(view);
    struct span sent = path->slash ? path_with_slash(path->reading[0]) : value;

    if (path->count > 1 || path->count == 0)
        return path->count == 0 && strchr(text, '*') && glob_fits(text, value, NULL);
    return strchr(text, '*') ? glob_fits(text, (struct span){value.text, sent.len}, NULL)
                             : strlen(text) == sent.len && memcmp(value.text, text, sent.len) == 0;
}

static bool text_fits(const char *text, const struct key_source *source, struct span value,
                      struct view *view)
{
    char *wanted = spelled(text, source);
    bool fits;

    if (source->kind == KEY_SOURCE_PATH)
        fits = path_text_fits(wanted, value, view);
    else
        fits = strchr(wanted, '*')
                   ? glob_fits(wanted, value, NULL)
                   : strlen(wanted) == value.len &&
                         (value.len == 0 || memcmp(wanted, value.text, value.len) == 0);
    free(wanted);
    return fits;
}

static bool fits(const struct set *set, size_t number, const struct key_values *values,
                 struct view *view)
{
    bool all = set->entries[number] == values->count;

    for (size_t i = 0; all && i < values->count; i++) {
        const char *text = set->entry[number][i];
        const struct address *client = view_address(view);
        struct network network;
        if (values->source[i]->kind != KEY_SOURCE_IP)
            all = text_fits(text, values->source[i], values->value[i], view) &&
                  (values->source[i]->kind != KEY_SOURCE_GLOBAL || is_all(text)) &&
                  !(network_is_meant(text) && has_ip(&set->spec, values->count, i));
        else if (!is_all(text))
            all = client && !network_parse(text, &network) && network_contains(&network, client);
    }
    return all;
}

static void find(const struct set *set, const char *uri, const char *ip, char *host)
{
    char *const parameters[] = {host, NULL};
    struct request request = {"GET", uri, ip, parameters};
    static struct view view;
    struct key_values values;
    char key[KEY_SIZE];
    size_t want = 0;

    view_begin(&view, &request, PREFIX_BITS);
    key_find(&set->spec, &view, &values);
    size_t len = key_build(&values, "a.limit", key);
    const struct override *got = overrides_find(set->overrides, key, len, &values, &view);
    while (want < set->count && !fits(set, want, &values, &view))
        want++;
    must((got ? got->line : set->count + 1) == want + 1, "the override found is the first to fit");
    must(!got || set->earlier[want] == 0, "one that is never used is never found");
    const struct override *stored = overrides_find(set->stored, key, len, &values, &view);
    must((stored ? stored->line : 0) == (got ? got->line : 0), "a stored one matches the same");
}

/* The texts are a key, a URI, an address, a Host, and then the keys of the overrides. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *spec = next_text(&input), *uri = next_text(&input), *ip = next_text(&input);
    char *name = next_text(&input), *host;
    struct set set = {.overrides = overrides_new(), .stored = overrides_new()};

    must(asprintf(&host, "HTTP_HOST=%s", name) > 0, "memory");
    if (!key_parse(spec, &set.spec)) {
        while (input.size > 0 && set.count < KEYS_MAX)
            add(&set, &input);
        find(&set, uri, ip, host);
    }
    overrides_free(set.overrides);
    overrides_free(set.stored);
    for (size_t i = 0; i < set.count; i++)
        free(set.text[i]);
    free(host);
    free(name);
    free(ip);
    free(uri);
    free(spec);
    return 0;
}
