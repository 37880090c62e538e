/* fuzz_file.c - a file is refused with reasons and places, or all its values are within their
 * bounds */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "limits/apply.h"
#include "config/limits_file.h"

/* The result of parsing a file. */
struct outcome {
    struct limits *limits;
    struct findings findings;
    char *text; /* the report */
    /* the sum of the lines of all findings, and the number of findings with a line */
    size_t lines, placed;
};

static struct outcome parse(const char *text, size_t len)
{
    struct outcome out = {.findings.file = "f"};
    size_t written;
    FILE *file = open_memstream(&out.text, &written);

    out.limits = limits_parse(text, len, &out.findings);
    findings_write(&out.findings, FINDINGS_ALL, file);
    fclose(file);
    must(written == strlen(out.text), "a report holds no NUL");
    return out;
}

static void free_outcome(struct outcome *outcome)
{
    limits_unref(outcome->limits);
    findings_free(&outcome->findings);
    free(outcome->text);
}

/* Check the findings of OUTCOME, for a file of LEN bytes, and cut its text into lines: each finding
 * is a line, has a place within the file, and says how to correct it. */
static void has_reasons_and_places(struct outcome *outcome, size_t len)
{
    char *rest = outcome->text;
    size_t findings = 0, errors = 0;
    unsigned line, column;

    for (char *finding; (finding = strsep(&rest, "\n")) && *finding; findings++) {
        int end = 0;
        bool placed = sscanf(finding, "f:%u:%u: %n", &line, &column, &end) == 2;
        must(end > 0 || strncmp(finding, "f: ", 3) == 0, "a finding has a place or is the file's");
        must(!placed || (line >= 1 && column >= 1 && line <= len + 1 && column <= len + 1),
             "a place is in the file");
        outcome->placed += placed;
        outcome->lines += placed ? line : 0;
        errors += strncmp(finding + end, "warning: ", 9) != 0;
        must_advise(finding);
        for (const char *byte = finding; *byte; byte++)
            must((unsigned char)*byte >= ' ', "a report holds no control characters");
    }
    must(findings == outcome->findings.count, "each finding is a line");
    must(errors == outcome->findings.error_count && !errors == (outcome->limits != NULL),
         "a file is refused for its errors alone");
}

static bool bucket_is_within_bounds(int64_t capacity, int64_t interval_us)
{
    return capacity >= 1 && capacity <= LIMIT_CAPACITY_MAX && interval_us >= 1 &&
           interval_us <= LIMIT_WINDOW_US_MAX / capacity;
}

static void limit_is_within_bounds(const struct limit *limit)
{
    size_t name_len = strlen(limit->name);

    must(name_len >= 1 && name_len <= LIMIT_NAME_MAX, "a limit has a name");
    must(limit->key.count >= 1 && limit->key.count <= KEY_PARTS_MAX, "a limit has a key");
    must(limit->key.part[0].alternative, "which begins with an alternative");
    must(bucket_is_within_bounds(limit->capacity, limit->interval_us), "and a bucket");
    must(limit->cost.tokens >= 0 && limit->cost.tokens <= COST_MAX, "and a cost");
    must(limit->match.method_count <= MATCH_METHODS_MAX, "and not too many methods");
    must(strlen(limit->match.path) <= GLOB_MAX && strlen(limit->match.host) <= GLOB_MAX,
         "and globs that are not too long");
    must(limit->line >= 1 && limit->column >= 1, "and a place");
}

static bool is_server(const struct redis_address *address)
{
    return address->path[0]
               ? address->port == 0 && address->host[0] == '\0'
               : address->port <= 65535 && address->port >= 1 && address->host[0] != '\0';
}

static void redis_has_a_place(const struct redis_config *redis)
{
    if (redis->topology == REDIS_SINGLE)
        must(is_server(&redis->address) && redis->server_count == 0, "Redis has an address");
    else
        must(redis->server_count >= 1 && redis->server_count <= REDIS_SERVERS_MAX &&
                 redis->address.host[0] == '\0' && redis->address.path[0] == '\0',
             "or servers that know it");
    for (unsigned i = 0; i < redis->server_count; i++)
        must(is_server(&redis->server[i]) && redis->server[i].path[0] == '\0',
             "each of them has a host and a port");
    must((redis->topology == REDIS_SENTINEL) == (redis->master[0] != '\0'),
         "Sentinels have a master");
    must(!strpbrk(redis->key_prefix, "{}*?[]\\ "), "a prefix is none of a hash tag or a pattern");
}

static void limits_are_within_bounds(const struct limits *limits)
{
    must(limits->count >= 1 && limits->count <= LIMITS_MAX, "there are 1 to 64 limits");
    must(limits->redis.timeout_ms >= 1 && limits->redis.timeout_ms <= REDIS_TIMEOUT_MS_MAX,
         "Redis has a time");
    redis_has_a_place(&limits->redis);
    must(limits->ipv6_prefix_bits >= 1 && limits->ipv6_prefix_bits <= 128, "a client has bits");
    must(limits->headers <= (HEADER_IETF | HEADER_X_RATELIMIT), "headers are known ones");
    for (size_t i = 0; i < limits->count; i++) {
        limit_is_within_bounds(&limits->limit[i]);
        for (size_t j = 0; j < i; j++)
            must(strcmp(limits->limit[i].name, limits->limit[j].name) != 0, "names differ");
    }
}

static void applies_to(const struct limit *limit, struct view *view)
{
    struct charge charge;
    struct applied applied;
    enum apply_result result = apply_limit(limit, view, &charge, &applied);
    const struct override *override = applied.override;

    must((result == APPLY_AMBIGUOUS) <= !limit->shadow, "a shadow never refuses");
    if (result == APPLY_NOT || result == APPLY_AMBIGUOUS || result == APPLY_TOO_MUCH)
        return;
    must_be_key(charge.key, charge.key_len, limit->name);
    must(charge.cost >= 1 && charge.cost <= COST_MAX, "a request costs 1 to 1000000 tokens");
    must(bucket_is_within_bounds(charge.capacity, charge.interval_us),
         "a bucket is within its bounds");
    must(override || result == APPLY_CHARGE, "only an override blocks a client or exempts it");
    must(!override || override->line >= limit->line, "an override is in its limit");
}

static void applies(const struct limits *limits)
{
    static char *const parameters[] = {"HTTP_HOST=api.example.com:80", "HTTP_X_API_KEY=k",
                                       "HTTP_COOKIE=session=1; a=b", "REMOTE_USER=alice", NULL};
    static const struct request requests[] = {
        {"GET", "/api/x?user=alice&cost=7", "192.0.2.7", parameters},
        {"POST", "//%61pi/./x/\xff?user=%00%7d+%0a", "[2001:db8:1:2::1]:80", parameters},
        {"", "", "", &parameters[4]},
    };
    static struct view view;

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        view_begin(&view, &requests[i], (unsigned)limits->ipv6_prefix_bits);
        for (size_t j = 0; j < limits->count; j++)
            applies_to(&limits->limit[j], &view);
    }
}

/* A comment before a file moves its lines, and has no other effect. */
static void is_moved_by_a_comment(const struct outcome *outcome, const char *text, size_t len)
{
    static const char comment[] = "# [ ' &\n";
    bool marked = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
    size_t size = sizeof comment - 1 + len;
    char *commented = malloc(size);

    memcpy(mempcpy(commented, comment, sizeof comment - 1), text, len);
    struct outcome other = parse(commented, size);
    has_reasons_and_places(&other, size);
    must(marked || (!other.limits == !outcome->limits &&
                    other.findings.count == outcome->findings.count &&
                    other.lines == outcome->lines + outcome->placed),
         "a comment before a file moves its lines, and nothing else");
    free_outcome(&other);
    free(commented);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long as the input, without a NUL at the end. */
    char *text = malloc(size);
    memcpy(text, data, size);
    struct outcome outcome = parse(text, size), again = parse(text, size);

    must(strcmp(outcome.text, again.text) == 0, "a file is read the same each time");
    has_reasons_and_places(&outcome, size);
    is_moved_by_a_comment(&outcome, text, size);
    if (outcome.limits) {
        limits_are_within_bounds(outcome.limits);
        applies(outcome.limits);
    }
    free_outcome(&again);
    free_outcome(&outcome);
    free(text);
    return 0;
}
