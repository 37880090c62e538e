/* fuzz_cost.c - a cost is read as by strtoull, within its bounds, and a cost in a file is in the
 * form that printf writes */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "limits/cost.h"

static int64_t reference(struct bytes bytes)
{
    char *text = strndup(bytes.text, bytes.len), *end = text;
    bool digits = bytes.len > 0 && isdigit((unsigned char)text[0]);
    unsigned long long tokens = digits ? strtoull(text, &end, 10) : 0;

    /* Compare with the length, because one of the bytes may be a NUL. */
    if ((size_t)(end - text) != bytes.len || tokens < 1)
        tokens = 1;
    free(text);
    return tokens > COST_MAX ? COST_MAX : (int64_t)tokens;
}

static void read_as_by_reference(const char *text, size_t len, bool encoded)
{
    struct bytes bytes =
        encoded ? percent_decode(text, len, true) : (struct bytes){strndup(text, len), len};
    must(cost_read((struct span){bytes.text, bytes.len}) == reference(bytes),
         "a cost is what strtoull reads");
    free(bytes.text);
}

static void parsed_as_written(const char *text)
{
    struct cost cost;
    const char *error = cost_parse(text, &cost);
    char again[32];

    if (error) {
        must_advise(error);
        return;
    }
    if (cost.tokens > 0) {
        snprintf(again, sizeof again, "%lld", (long long)cost.tokens);
        must(cost.tokens <= COST_MAX && strcmp(text, again) == 0, "a cost is written one way");
        return;
    }
    must(cost.tokens == 0, "a cost that is no number is that of a source");
    must(cost.source.kind == KEY_SOURCE_QUERY || cost.source.kind == KEY_SOURCE_HEADER ||
             cost.source.kind == KEY_SOURCE_COOKIE || cost.source.kind == KEY_SOURCE_ENV,
         "a cost comes from a source with a name");
    must(cost.source.name[0] != '\0', "it has one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input), *rest = next_text(&input);

    read_as_by_reference(text, strlen(text), false);
    read_as_by_reference(rest, strlen(rest), true);
    read_as_by_reference((const char *)data, size, true);
    parsed_as_written(text);
    free(rest);
    free(text);
    return 0;
}
