/* glob.c - shell-like patterns for paths, hosts and the keys of overrides. */
/* SPDX-License-Identifier: MIT */
#include "base/glob.h"

#include <assert.h>
#include <string.h>

#define SHORT_TEXT  4   /* bytes; only longer texts are worth the pair check */
#define CALL_COST   8   /* work charged for each pattern */
#define CLEAR_COST  128 /* work charged for clearing the pairs of a text */
#define SEARCH_COST 100 /* work charged for each memmem(3), plus one for each byte it looks at */

void glob_work_begin(struct glob_work *work)
{
    work->left = GLOB_WORK_MAX;
    work->exhausted = false;
    work->known = 0;
}

/* Subtract COST from WORK.  Returns false if WORK is exhausted. */
static bool spend(struct glob_work *work, size_t cost)
{
    if (!work)
        return true;
    work->left -= (int64_t)cost;
    work->exhausted = work->exhausted || work->left < 0;
    return !work->exhausted;
}

/* ---- Literal pieces ---- */

static unsigned pair_at(const char *text)
{
    return (unsigned)(unsigned char)text[0] << 8 | (unsigned char)text[1];
}

/* The pairs of TEXT; NULL if WORK is exhausted. */
static const struct glob_pairs *pairs_of(struct span text, struct glob_work *work)
{
    for (size_t i = 0; i < work->known && i < GLOB_TEXTS; i++)
        if (work->pairs[i].text.text == text.text && work->pairs[i].text.len == text.len)
            return &work->pairs[i];
    if (!spend(work, text.len + CLEAR_COST))
        return NULL;
    struct glob_pairs *pairs = &work->pairs[work->known++ % GLOB_TEXTS];
    pairs->text = text;
    memset(pairs->bits, 0, sizeof pairs->bits);
    for (size_t i = 0; i + 1 < text.len; i++) {
        unsigned pair = pair_at(text.text + i);
        pairs->bits[pair / 64] |= UINT64_C(1) << pair % 64;
    }
    return pairs;
}

/* Whether TEXT cannot match PATTERN because it lacks a pair of neighbouring bytes that PATTERN has
 * outside its wildcards.  Also true if WORK is exhausted. */
static bool lacks_a_pair(struct span text, struct span pattern, struct glob_work *work)
{
    const struct glob_pairs *pairs = work && text.len > SHORT_TEXT ? pairs_of(text, work) : NULL;
    size_t i = 0;
    bool lacks = false;

    for (; pairs && i + 1 < pattern.len && !lacks; i++) {
        unsigned pair = pair_at(pattern.text + i);
        lacks = pattern.text[i] != '*' && pattern.text[i + 1] != '*' &&
                !(pairs->bits[pair / 64] >> pair % 64 & 1);
    }
    return !spend(work, i) || lacks;
}

/* The next piece of PATTERN without a wildcard, starting at *AT, which is moved past it.  Length 0
 * if there is none. */
static struct span next_piece(struct span pattern, size_t *at)
{
    while (*at < pattern.len && pattern.text[*at] == '*')
        ++*at;
    size_t begin = *at;
    while (*at < pattern.len && pattern.text[*at] != '*')
        ++*at;
    return (struct span){pattern.text + begin, *at - begin};
}

/* Whether MIDDLE, which is a part of TEXT, contains the pieces of PATTERN in order, without
 * overlap. */
static bool has_pieces(struct span pattern, struct span text, struct span middle,
                       struct glob_work *work)
{
    struct span piece;

    if (lacks_a_pair(text, pattern, work))
        return false;
    for (size_t at = 0; (piece = next_piece(pattern, &at)).len > 0;) {
        const char *found = memmem(middle.text, middle.len, piece.text, piece.len);
        size_t taken = found ? (size_t)(found - middle.text) + piece.len : middle.len;
        if (!spend(work, SEARCH_COST + taken) || !found)
            return false;
        middle.text += taken;
        middle.len -= taken;
    }
    return true;
}

/* ---- Both wildcards, and slashes ---- */

/* The state of a match: the rest of the pattern may be matched from each position set in AT.  Only
 * FIRST .. LAST can be set.  Most patterns have one or two positions at a time, and the cost of
 * each byte of text depends on this range only. */
struct positions {
    size_t first, last;
    bool at[GLOB_MAX + 1];
};

static void clear(struct positions *positions, size_t first, size_t last)
{
    positions->first = first;
    positions->last = first;
    memset(positions->at + first, 0, last - first + 1);
}

static bool is_star(struct span pattern, size_t position)
{
    return position < pattern.len && pattern.text[position] == '*';
}

/* Set POSITION, and the positions after the wildcards that begin there, because a wildcard may
 * match nothing. */
static void set(struct positions *positions, struct span pattern, size_t position)
{
    positions->at[position] = true;
    while (is_star(pattern, position)) {
        position += is_star(pattern, position + 1) ? 2 : 1;
        positions->at[position] = true;
    }
    if (position > positions->last)
        positions->last = position;
}

/* Advance from NOW to NEXT over BYTE.  Returns whether any position is left. */
static bool step(struct span pattern, char byte, const struct positions *now,
                 struct positions *next)
{
    bool any = false;

    clear(next, now->first, pattern.len);
    for (size_t i = now->first; i <= now->last; i++) {
        if (!now->at[i] || i == pattern.len)
            continue;
        bool star = is_star(pattern, i);
        if (star ? byte == '/' && !is_star(pattern, i + 1) : pattern.text[i] != byte)
            continue;
        if (!any)
            next->first = i;
        any = true;
        set(next, pattern, star ? i : i + 1);
    }
    return any;
}

/* Whether all of TEXT matches PATTERN, by tracking the possible positions byte by byte. */
static bool fits_by_steps(struct span pattern, struct span text, struct glob_work *work)
{
    struct positions positions[2] = {0}, *now = &positions[0], *next = &positions[1];

    clear(now, 0, pattern.len);
    set(now, pattern, 0);
    for (size_t i = 0; i < text.len; i++) {
        struct positions *spare = now;
        if (!spend(work, 8 + 4 * (now->last - now->first) + pattern.len / 16) ||
            !step(pattern, text.text[i], now, next))
            return false;
        now = next;
        next = spare;
    }
    return now->at[pattern.len];
}

/* Whether each wildcard of PATTERN is "**". */
static bool crosses_slashes(struct span pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (!is_star(pattern, i))
            continue;
        if (!is_star(pattern, i + 1))
            return false;
        i++;
    }
    return true;
}

/* ---- The whole ---- */

/* Whether the whole TEXT matches PATTERN, without the special meaning of a slash and "**" at the
 * end. */
static bool fits(struct span pattern, struct span text, struct glob_work *work)
{
    const char *star = memchr(pattern.text, '*', pattern.len);

    if (!star)
        return text.len == pattern.len &&
               (text.len == 0 || memcmp(text.text, pattern.text, text.len) == 0);
    const char *last = memrchr(pattern.text, '*', pattern.len);
    size_t before = (size_t)(star - pattern.text), wild = (size_t)(last + 1 - star),
           after = pattern.len - before - wild;
    if (text.len < before + after || memcmp(text.text, pattern.text, before) != 0 ||
        memcmp(text.text + text.len - after, last + 1, after) != 0)
        return false;
    struct span wildcards = {star, wild};
    struct span middle = {text.text + before, text.len - before - after};
    if (!has_pieces(wildcards, text, middle, work))
        return false;
    if (crosses_slashes(wildcards) || middle.len == 0 || !memchr(middle.text, '/', middle.len))
        return true;
    return fits_by_steps(wildcards, middle, work);
}

bool glob_fits(const char *pattern, struct span text, struct glob_work *work)
{
    struct span whole = {pattern, strlen(pattern)};

    assert(whole.len <= GLOB_MAX);
    if (!text.text)
        text.text = "";
    if (!spend(work, CALL_COST))
        return false;
    if (fits(whole, text, work))
        return true;
    if (whole.len < 3 || memcmp(pattern + whole.len - 3, "/**", 3) != 0)
        return false;
    return fits((struct span){pattern, whole.len - 3}, text, work);
}
