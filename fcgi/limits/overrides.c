/* overrides.c - the clients of a limit that are treated differently: added, and looked up. */
/* SPDX-License-Identifier: MIT */
#include "limits/overrides.h"

#include <stdlib.h>
#include <string.h>

/* If there is no memory, uthash ends the program, as base/memory.h does. */
#define uthash_fatal(message) abort()
#include <uthash.h>

#include "base/clock.h"
#include "base/glob.h"
#include "base/memory.h"
#include "base/network.h"
#include "limits/override_text.h"

#define NONE SIZE_MAX

/* An override that is for one client: found by that client's Redis key. */
struct exact {
    UT_hash_handle hh;
    /* Of its override; [true]: of the one whose path was written with a slash at its end.  NONE:
     * there is none. */
    size_t rank[2];
    size_t len;
    char key[]; /* LEN bytes */
};

/* An override with a pattern, for one of the alternatives of the limit's key. */
struct patterned {
    size_t rank;
    size_t first; /* of the alternative: key_values.first */
    size_t count;
    struct pattern part[KEY_PARTS_MAX];
};

struct overrides {
    size_t count; /* of all; a rank is an index */
    struct override *override;
    struct exact *exact;    /* uthash's table */
    size_t patterned_count; /* of ... */
    struct patterned *patterned;
    size_t pattern_count; /* overrides with a pattern */
    bool has_path;        /* one of them is for a source path */
};

struct overrides *overrides_new(void)
{
    struct overrides *overrides = memory_new(sizeof *overrides);

    return overrides;
}

/* ---- Adding ---- */

/* The entry for KEY, of LEN bytes; a new one if need be. */
static struct exact *exact_at(struct overrides *overrides, const char *key, size_t len)
{
    struct exact *exact;

    HASH_FIND(hh, overrides->exact, key, len, exact);
    if (exact)
        return exact;
    exact = memory_new(sizeof *exact + len);
    exact->rank[false] = exact->rank[true] = NONE;
    exact->len = len;
    memcpy(exact->key, key, len);
    HASH_ADD(hh, overrides->exact, key, exact->len, exact);
    return exact;
}

static unsigned add_exact(struct overrides *overrides, const struct override_text *addition,
                          const char *limit_name)
{
    char key[KEY_SIZE];
    bool slash;

    size_t len = override_text_key(addition, limit_name, key, &slash);
    size_t *rank = &exact_at(overrides, key, len)->rank[slash];
    if (*rank == overrides->count)
        return 0; /* this override itself, for an alternative with the same sources */
    if (*rank != NONE)
        return overrides->override[*rank].line;
    *rank = overrides->count;
    return 0;
}

/* Whether everything that fits OTHER fits ONE; false if that is not easy to tell. */
static bool covers(const struct pattern *one, const struct pattern *other)
{
    if (one->is_digest)
        return other->is_digest && strcmp(one->glob, other->glob) == 0;
    if (other->is_digest)
        return !one->is_network && strcmp(one->glob, "**") == 0;
    if (one->is_network != other->is_network)
        return !one->is_network && strcmp(one->glob, "**") == 0;
    if (one->is_network)
        return one->network.bits <= other->network.bits &&
               network_contains(&one->network, &other->network.address);
    if (strchr(other->glob, '*'))
        return strcmp(one->glob, "**") == 0 || strcmp(one->glob, other->glob) == 0;
    return glob_fits(one->glob, (struct span){other->glob, strlen(other->glob)}, NULL);
}

/* The line of an earlier override with patterns that covers ADDITION; or 0. */
static unsigned covering(const struct overrides *overrides, const struct override_text *addition)
{
    for (size_t i = 0; i < overrides->patterned_count; i++) {
        const struct patterned *earlier = &overrides->patterned[i];
        size_t covered = 0;
        while (earlier->first == addition->first && covered < addition->count &&
               covers(&earlier->part[covered], &addition->part[covered]))
            covered++;
        if (covered == addition->count)
            return overrides->override[earlier->rank].line;
    }
    return 0;
}

static void add_patterned(struct overrides *overrides, const struct override_text *addition)
{
    size_t count = overrides->patterned_count + 1;

    overrides->patterned =
        memory_resize(overrides->patterned, count * sizeof *overrides->patterned);
    struct patterned *patterned = &overrides->patterned[overrides->patterned_count++];
    patterned->rank = overrides->count;
    patterned->first = addition->first;
    patterned->count = addition->count;
    memcpy(patterned->part, addition->part, sizeof patterned->part);
    for (size_t i = 0; i < patterned->count; i++)
        if (patterned->part[i].glob)
            patterned->part[i].glob = memory_text(patterned->part[i].glob, GLOB_MAX);
}

static const char too_many_patterns[] =
    "too many globs and CIDRs in the overrides of one limit; the most is 256, and exact keys are "
    "not bounded";

/* Add OVERRIDE for the alternative that ADDITION is for; or return why it is for no client of that
 * one. */
static const char *add_for_alternative(struct overrides *overrides, struct override_text *addition,
                                       const char *limit_name, unsigned *earlier)
{
    const char *error = override_text_read(addition);

    if (error)
        return error;
    if (!addition->is_exact && overrides->pattern_count == OVERRIDES_PATTERNS_MAX)
        return too_many_patterns;
    *earlier = covering(overrides, addition);
    if (!addition->is_exact)
        add_patterned(overrides, addition);
    else if (*earlier == 0)
        *earlier = add_exact(overrides, addition, limit_name);
    return NULL;
}

static void append(struct overrides *overrides, const struct key_spec *spec,
                   const struct override *override)
{
    for (size_t i = 0; i < spec->count; i++)
        overrides->has_path = overrides->has_path || spec->part[i].source.kind == KEY_SOURCE_PATH;
    /* A power of two is when the array is full. */
    if ((overrides->count & (overrides->count - 1)) == 0) {
        size_t room = overrides->count > 0 ? 2 * overrides->count : 1;
        overrides->override =
            memory_resize(overrides->override, room * sizeof *overrides->override);
    }
    overrides->override[overrides->count++] = *override;
}

/* ---- Public ---- */

const char *overrides_add(struct overrides *overrides, const struct key_spec *spec,
                          const char *limit_name, unsigned ipv6_prefix_bits,
                          const char *const text[], size_t count, const struct override *override,
                          unsigned *earlier)
{
    static const char wrong_count[] =
        "the limit's key has no alternative of so many sources; write one entry for each source, "
        "[A, B] where the key is such as ip + path";
    const char *why = wrong_count;
    size_t patterned = overrides->patterned_count;
    bool added = false;
    struct override_text addition = {
        .text = text, .count = count, .spec = spec, .ipv6_prefix_bits = ipv6_prefix_bits};

    for (size_t i = 0; i < count; i++) {
        const char *error = override_text_check(text[i]);
        if (error)
            return error;
    }
    *earlier = 0;
    for (size_t end; addition.first < spec->count; addition.first = end) {
        end = key_alternative_end(spec, addition.first);
        if (end - addition.first != count)
            continue;
        unsigned line = 0;
        const char *error = add_for_alternative(overrides, &addition, limit_name, &line);
        if (error && (why == wrong_count || why == override_text_is_address))
            why = error;
        if (error)
            continue;
        /* It is never used only if that is so for each alternative. */
        *earlier = line > 0 && added ? *earlier : line;
        added = true;
    }
    if (!added)
        return why;
    if (overrides->patterned_count > patterned)
        overrides->pattern_count++;
    append(overrides, spec, override);
    return NULL;
}

void overrides_add_key(struct overrides *overrides, const struct key_spec *spec, const char *key,
                       size_t len, bool slash, const struct override *override)
{
    size_t *rank = &exact_at(overrides, key, len)->rank[slash];

    if (*rank == NONE)
        *rank = overrides->count;
    append(overrides, spec, override);
}

const char *overrides_add_text(struct overrides *overrides, const struct override_text *text,
                               const char *limit_name, const struct override *override)
{
    char key[KEY_SIZE];
    bool slash;

    if (text->is_exact) {
        size_t len = override_text_key(text, limit_name, key, &slash);
        overrides_add_key(overrides, text->spec, key, len, slash, override);
        return NULL;
    }
    if (overrides->pattern_count == OVERRIDES_PATTERNS_MAX)
        return too_many_patterns;
    overrides->pattern_count++;
    add_patterned(overrides, text);
    append(overrides, text->spec, override);
    return NULL;
}

size_t overrides_count(const struct overrides *overrides)
{
    return overrides->count;
}

/* Whether the time of OVERRIDE is over. */
static bool is_over(const struct override *override)
{
    return override->until_s > 0 && override->until_s <= clock_recent_s();
}

/* READING of a path as SOURCE has it. */
static struct span as_source(const struct key_source *source, struct span reading,
                             struct view *view)
{
    return source->lower ? memo_lower(&view->memo, reading, &view->scratch) : reading;
}

static bool path_fits(const struct pattern *pattern, const struct key_source *source, bool stricter,
                      struct view *view)
{
    const struct path *path = view_paths(view);

    if (path->count == 0 || (path->count > 1 && !stricter))
        return path->count == 0 && glob_fits(pattern->glob, (struct span){"", 0}, NULL);
    for (size_t i = 0; i < path->count; i++) {
        struct span whole = as_source(source, path_with_slash(path->reading[i]), view);
        struct span bare = {whole.text, path->reading[i].len};
        if (!whole.text)
            return stricter;
        if (((stricter || !path->slash) && glob_fits(pattern->glob, bare, &view->work)) ||
            ((stricter || path->slash) && glob_fits(pattern->glob, whole, &view->work)))
            return true;
    }
    return false;
}

static bool pattern_fits(const struct pattern *pattern, const struct key_source *source,
                         struct span value, bool stricter, struct view *view)
{
    char digest[MEMO_DIGEST_SIZE];

    if (pattern->is_digest) {
        memo_digest(&view->memo, value, digest);
        return memcmp(digest, pattern->glob, sizeof digest) == 0;
    }
    if (!pattern->is_network && source->kind == KEY_SOURCE_PATH)
        return path_fits(pattern, source, stricter, view);
    if (!pattern->is_network)
        return glob_fits(pattern->glob, value, &view->work);
    const struct address *client = view_address(view);
    return client && network_contains(&pattern->network, client);
}

static bool patterned_fits(const struct patterned *patterned, const struct override *override,
                           const struct key_values *values, struct view *view)
{
    if (patterned->first != values->first || is_over(override))
        return false;
    for (size_t i = 0; i < patterned->count; i++)
        if (!pattern_fits(&patterned->part[i], values->source[i], values->value[i],
                          override->stricter, view))
            return false;
    return true;
}

/* RANK, or NONE if the time of that override is over. */
static size_t in_time(const struct overrides *overrides, size_t rank)
{
    return rank != NONE && is_over(&overrides->override[rank]) ? NONE : rank;
}

/* Whether the override of RANK is used for a path that was sent in another spelling. */
static bool is_strict(const struct overrides *overrides, size_t rank)
{
    return rank != NONE && overrides->override[rank].stricter;
}

/* The path of VIEW if VALUES hold it; else NULL. */
static const struct path *path_in(const struct key_values *values, struct view *view)
{
    for (size_t i = 0; i < values->count; i++)
        if (values->source[i]->kind == KEY_SOURCE_PATH)
            return view_paths(view);
    return NULL;
}

/* The rank of the override that the key itself has; NONE: there is none. */
static size_t find_exact(const struct overrides *overrides, const char *key, size_t len,
                         const struct key_values *values, struct view *view)
{
    const struct exact *exact;

    HASH_FIND(hh, overrides->exact, key, len, exact);
    if (!exact)
        return NONE;
    const struct path *path = overrides->has_path ? path_in(values, view) : NULL;
    if (!path)
        return in_time(overrides, exact->rank[false]);
    size_t as_sent = in_time(overrides, exact->rank[path->slash]),
           other = in_time(overrides, exact->rank[!path->slash]);
    if (as_sent != NONE && (path->count == 1 || is_strict(overrides, as_sent)))
        return as_sent;
    return is_strict(overrides, other) ? other : NONE;
}

const struct override *overrides_find(const struct overrides *overrides, const char *key,
                                      size_t len, const struct key_values *values,
                                      struct view *view)
{
    size_t exact = find_exact(overrides, key, len, values, view);

    for (size_t i = 0; i < overrides->patterned_count; i++) {
        const struct patterned *patterned = &overrides->patterned[i];
        if (exact < patterned->rank || view->work.exhausted)
            break;
        if (patterned_fits(patterned, &overrides->override[patterned->rank], values, view))
            return &overrides->override[patterned->rank];
    }
    return exact != NONE ? &overrides->override[exact] : NULL;
}

static bool is_for_all(const struct patterned *patterned)
{
    for (size_t i = 0; i < patterned->count; i++)
        if (patterned->part[i].is_network || patterned->part[i].is_digest ||
            strcmp(patterned->part[i].glob, "**") != 0)
            return false;
    return true;
}

bool overrides_lift_all(const struct overrides *overrides, const struct key_spec *spec)
{
    size_t alternatives = 0, lifted = 0;

    if (overrides->count == 0 || overrides->override[0].kind != OVERRIDE_UNLIMITED)
        return false;
    for (size_t first = 0; first < spec->count; first = key_alternative_end(spec, first))
        alternatives++;
    for (size_t i = 0; i < overrides->patterned_count && overrides->patterned[i].rank == 0; i++)
        lifted += is_for_all(&overrides->patterned[i]);
    return lifted == alternatives;
}

void overrides_free(struct overrides *overrides)
{
    if (!overrides)
        return;
    struct exact *exact = overrides->exact;
    HASH_CLEAR(hh, overrides->exact); /* the table, not what is in it */
    while (exact) {
        struct exact *next = exact->hh.next;
        free(exact);
        exact = next;
    }
    for (size_t i = 0; i < overrides->patterned_count; i++)
        for (size_t j = 0; j < overrides->patterned[i].count; j++)
            free((char *)overrides->patterned[i].part[j].glob);
    free(overrides->patterned);
    free(overrides->override);
    free(overrides);
}
