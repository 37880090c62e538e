/* test_override_key.c - tests of limits/override_key: names of stored overrides, and what they
 * fit. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/override_key.h"

#include <stdio.h>

#include "base/clock.h"

#define LIMIT   "a.limit"
#define BITS    64
#define DIGEST  "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" /* of "secret" */
#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static struct key_spec spec_of(const char *key)
{
    struct key_spec spec;

    want_no_error(key, key_parse(key, &spec));
    return spec;
}

/* Read the COUNT TEXTS for the alternative of SPEC that begins at FIRST. */
static const char *read_texts(const struct key_spec *spec, size_t first, const char *const texts[],
                              size_t count, struct override_text *out)
{
    *out = (struct override_text){
        .text = texts, .count = count, .spec = spec, .first = first, .ipv6_prefix_bits = BITS};
    return override_text_read(out);
}

static size_t count_of(const char *const texts[KEY_PARTS_MAX])
{
    size_t count = 0;

    while (count < KEY_PARTS_MAX && texts[count])
        count++;
    return count;
}

TEST(a_name_is_the_key_of_a_bucket_or_a_pattern)
{
    static const struct {
        const char *key, *texts[KEY_PARTS_MAX], *want;
    } cases[] = {
        {"query:user", {"alice"}, "rl:{query:user=alice}:" LIMIT},
        {"query:user", {"a b%+"}, "rl:{query:user=a%20b%25%2B}:" LIMIT},
        {"query:user", {"a*"}, "rl:{query:user=a*}:" LIMIT},
        {"query:user", {"a +*"}, "rl:{query:user=a%20%2B*}:" LIMIT},
        {"ip", {"192.0.2.7"}, "rl:{ip=192.0.2.7}:" LIMIT},
        {"ip", {"192.0.2.7/32"}, "rl:{ip=192.0.2.7}:" LIMIT},
        {"ip", {"10.0.0.0/8"}, "rl:{ip=10.0.0.0/8}:" LIMIT},
        {"ip", {"2001:DB8:1:2::/64"}, "rl:{ip=2001:db8:1:2::/64}:" LIMIT},
        {"ip", {"*"}, "rl:{ip=**}:" LIMIT},
        {"global", {"*"}, "rl:{global=**}:" LIMIT},
        {"path", {"/api/x"}, "rl:{path=/api/x}:" LIMIT},
        {"path", {"/api/x/"}, "rl:{path=/api/x/}:" LIMIT},
        {"path", {"/"}, "rl:{path=/}:" LIMIT},
        {"path + method", {"/api/x/", "GET"}, "rl:{path=/api/x/+method=GET}:" LIMIT},
        {"method + path", {"HEAD", "/x/"}, "rl:{method=GET+path=/x/}:" LIMIT},
        {"ip + path", {"10.0.0.0/8", "/x"}, "rl:{ip=10.0.0.0/8+path=/x}:" LIMIT},
        {"header:x-key", {"secret"}, "rl:{header:x-key=#" DIGEST "}:" LIMIT},
        {"lower(header:x-key)", {"SECRET"}, "rl:{lower:header:x-key=#" DIGEST "}:" LIMIT},
        {"header:x-key + path",
         {"secret", "**/x"},
         "rl:{header:x-key=#" DIGEST "+path=**/x}:" LIMIT},
        {"header:x-key", {"sec*"}, "rl:{header:x-key=sec*}:" LIMIT},
    };
    static struct override_text text;
    char name[OVERRIDE_KEY_SIZE];

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->key);
        want_no_error(c->want, read_texts(&spec, 0, c->texts, count_of(c->texts), &text));
        want_number(c->want, (int64_t)override_key_write(&text, LIMIT, name),
                    (int64_t)strlen(c->want));
        want_text(c->want, name, c->want);
    }
}

/* Whether an override of LIMIT for NAME fits REQUEST; *ERROR: why it was not added. */
static bool fits(const struct key_spec *spec, const char *name, const struct request *request,
                 double until_s, const char **error)
{
    static struct view view;
    const struct override override = {.capacity = 1, .interval_us = 1, .until_s = until_s};
    struct overrides *overrides = overrides_new();
    struct key_values values;
    char key[KEY_SIZE];

    *error = override_key_add(overrides, spec, name, BITS, &override);
    view_begin(&view, request, BITS);
    key_find(spec, &view, &values);
    size_t len = key_build(&values, LIMIT, key);
    bool found = overrides_find(overrides, key, len, &values, &view);
    overrides_free(overrides);
    return found;
}

TEST(a_name_fits_its_clients_alone)
{
    static const struct {
        const char *key, *name, *uri, *ip;
        bool want;
    } cases[] = {
        {"query:user", "rl:{query:user=alice}:" LIMIT, "/?user=alice", "192.0.2.7", true},
        {"query:user", "rl:{query:user=alice}:" LIMIT, "/?user=alicf", "192.0.2.7", false},
        {"query:user", "rl:{query:user=%2A}:" LIMIT, "/?user=*", "192.0.2.7", true},
        {"query:user", "rl:{query:user=%2A}:" LIMIT, "/?user=alice", "192.0.2.7", false},
        {"query:user", "rl:{query:user=a%20*}:" LIMIT, "/?user=a+b", "192.0.2.7", true},
        {"query:user", "rl:{query:user=a%20*}:" LIMIT, "/?user=ab", "192.0.2.7", false},
        {"query:user | ip", "rl:{ip=10.0.0.0/8}:" LIMIT, "/", "10.1.2.3", true},
        {"query:user | ip", "rl:{ip=10.0.0.0/8}:" LIMIT, "/", "11.1.2.3", false},
        {"query:user | ip", "rl:{ip=10.0.0.0/8}:" LIMIT, "/?user=x", "10.1.2.3", false},
        {"query:user | ip", "rl:{ip=10.1.2.3}:" LIMIT, "/", "10.1.2.3", true},
        {"query:user | ip", "rl:{ip=10.1.2.3/32}:" LIMIT, "/", "10.1.2.3", true},
        {"query:user | ip", "rl:{ip=2001:db8::/64}:" LIMIT, "/", "2001:db8::7", true},
        {"query:user | ip", "rl:{ip=2001:DB8::/64}:" LIMIT, "/", "2001:db8::7", true},
        {"query:user | ip", "rl:{ip=2001:db8::/32}:" LIMIT, "/", "2001:db8:7::7", true},
        {"path", "rl:{path=/x}:" LIMIT, "/x", "192.0.2.7", true},
        {"path", "rl:{path=/x}:" LIMIT, "/x/", "192.0.2.7", false},
        {"path", "rl:{path=/x/}:" LIMIT, "/x", "192.0.2.7", false},
        {"path", "rl:{path=/x/}:" LIMIT, "/x/", "192.0.2.7", true},
        {"path", "rl:{path=/}:" LIMIT, "/", "192.0.2.7", true},
        {"path + ip", "rl:{path=/x/+ip=10.0.0.0/8}:" LIMIT, "/x/", "10.1.2.3", true},
        {"path + ip", "rl:{path=/x/+ip=10.0.0.0/8}:" LIMIT, "/x", "10.1.2.3", false},
        {"ip + path", "rl:{ip=10.1.2.3+path=/x/}:" LIMIT, "/x/", "10.1.2.3", true},
        {"header:x-key", "rl:{header:x-key=#" DIGEST "}:" LIMIT, "/", "10.1.2.3", true},
        {"header:x-key", "rl:{header:x-key=secret}:" LIMIT, "/", "10.1.2.3", false},
        {"header:x-key + ip", "rl:{header:x-key=#" DIGEST "+ip=10.0.0.0/8}:" LIMIT, "/", "10.1.2.3",
         true},
        {"header:x-key + ip", "rl:{header:x-key=#" DIGEST "+ip=10.0.0.0/8}:" LIMIT, "/", "11.1.2.3",
         false},
        {"header:x-key + path", "rl:{header:x-key=sec*+path=**}:" LIMIT, "/", "11.1.2.3", true},
        {"global", "rl:{global=**}:" LIMIT, "/", "11.1.2.3", true},
    };
    char *parameters[] = {"HTTP_X_KEY=secret", NULL};

    FOR_EACH(c, cases) {
        const struct request request = {"GET", c->uri, c->ip, parameters};
        struct key_spec spec = spec_of(c->key);
        const char *error;
        bool found = fits(&spec, c->name, &request, 0, &error);
        want_no_error(c->name, error);
        want_number(c->name, found, c->want);
    }
}

TEST(the_key_of_a_long_identity_is_that_of_its_client)
{
    static const char uri[] = "/?user=" HUNDRED HUNDRED "&a=" HUNDRED "&b=" HUNDRED;
    static const char *const keys[] = {"query:user", "query:a + query:b", "path + query:user"};
    static struct view view;
    char *parameters[] = {NULL};
    const struct request request = {"GET", uri, "192.0.2.7", parameters};
    const char *error;

    for (size_t i = 0; i < LENGTH(keys); i++) {
        struct key_spec spec = spec_of(keys[i]);
        struct key_values values;
        char key[KEY_SIZE];

        view_begin(&view, &request, BITS);
        key_find(&spec, &view, &values);
        key_build(&values, LIMIT, key);
        want_number(key, fits(&spec, key, &request, 0, &error), true);
    }
}

TEST(an_override_whose_time_is_over_does_not_fit)
{
    static const char *const names[] = {"rl:{query:user=alice}:" LIMIT,
                                        "rl:{query:user=a*}:" LIMIT};
    char *parameters[] = {NULL};
    const struct request request = {"GET", "/?user=alice", "192.0.2.7", parameters};
    struct key_spec spec = spec_of("query:user");
    const char *error;

    for (size_t i = 0; i < LENGTH(names); i++) {
        double now_s = clock_s();
        want_number(names[i], fits(&spec, names[i], &request, now_s + 3600, &error), true);
        want_number(names[i], fits(&spec, names[i], &request, now_s - 1, &error), false);
    }
}

TEST(a_wrong_name_is_refused_with_advice)
{
    static const struct {
        const char *key, *name, *want;
    } cases[] = {
        {"query:user", "", "a name is such as"},
        {"query:user", "alice", "a name is such as"},
        {"query:user", "rl:{}:" LIMIT, "a name is such as"},
        {"query:user", "rl:{query:user=alice}:", "a name is such as"},
        {"query:user", "rl:{query:user=alice", "a name is such as"},
        {"query:user", "rl:{query:name=alice}:" LIMIT, override_key_is_foreign},
        {"query:user", "rl:{ip=192.0.2.7}:" LIMIT, override_key_is_foreign},
        {"query:user", "rl:{query:user=alice+ip=192.0.2.7}:" LIMIT, override_key_is_foreign},
        {"query:user + ip", "rl:{query:user=alice}:" LIMIT, override_key_is_foreign},
        {"query:user", "rl:{query:user=a%2A*}:" LIMIT, "two hexadecimal digits"},
        {"query:user", "rl:{query:user=a%zz*}:" LIMIT, "two hexadecimal digits"},
        {"query:user", "rl:{query:user=a%00*}:" LIMIT, "two hexadecimal digits"},
        {"ip", "rl:{ip=alice}:" LIMIT, "address"},
        {"ip", "rl:{ip=10.0.0.1/8}:" LIMIT, ""},
        {"ip + path", "rl:{ip=10.0.0.0/8+path=x}:" LIMIT, "begins with a slash"},
        {"header:x + path", "rl:{header:x=#abc+path=**}:" LIMIT, "64 hexadecimal digits"},
        {"query:user", "rl:{query:user=" HUNDRED HUNDRED HUNDRED "}:" LIMIT, "so long a key"},
    };
    char *parameters[] = {NULL};
    const struct request request = {"GET", "/?user=alice", "192.0.2.7", parameters};

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->key);
        const char *error;
        want_number(c->name, fits(&spec, c->name, &request, 0, &error), false);
        want_number(c->name, error && strstr(error, c->want), true);
    }
}

/* Whether an override of a limits file for TEXTS fits REQUEST. */
static bool fits_in_file(const struct key_spec *spec, const char *const texts[], size_t count,
                         const struct request *request)
{
    static struct view view;
    const struct override override = {.capacity = 1, .interval_us = 1};
    struct overrides *overrides = overrides_new();
    struct key_values values;
    char key[KEY_SIZE];
    unsigned earlier;

    overrides_add(overrides, spec, LIMIT, BITS, texts, count, &override, &earlier);
    view_begin(&view, request, BITS);
    key_find(spec, &view, &values);
    size_t len = key_build(&values, LIMIT, key);
    bool found = overrides_find(overrides, key, len, &values, &view);
    overrides_free(overrides);
    return found;
}

/* Whether one of the names that are written for TEXTS does. */
static bool fits_stored(const struct key_spec *spec, const char *const texts[], size_t count,
                        const struct request *request)
{
    static struct override_text text;
    char name[OVERRIDE_KEY_SIZE];
    const char *error;
    bool found = false;

    for (size_t first = 0, end; first < spec->count; first = end) {
        end = key_alternative_end(spec, first);
        if (end - first != count || read_texts(spec, first, texts, count, &text))
            continue;
        override_key_write(&text, LIMIT, name);
        found = fits(spec, name, request, 0, &error) || found;
        want_no_error(name, error);
    }
    return found;
}

TEST(a_stored_override_fits_the_clients_of_one_in_the_file)
{
    static const char *const keys[] = {"query:u",
                                       "ip",
                                       "path",
                                       "query:u | ip",
                                       "query:u | path",
                                       "ip + path",
                                       "query:u | query:u",
                                       "header:x-key | ip",
                                       "path + header:x-key",
                                       "lower(query:u) + ip",
                                       "host",
                                       "method + path"};
    static const char *const texts[] = {
        "a",   "A",   "a*",    "*",    "10.1.2.3",      "10.0.0.0/8",
        "/x",  "/x/", "/x/**", "**/y", "2001:db8::/64", "secret",
        "se*", "GET", "a%20b", "a b",  "10.1.2.3/32",   "example.com",
        "/"};
    static const char *const uris[] = {"/",      "/x",          "/x/", "/x/y", "/?u=a",
                                       "/x?u=A", "/x/?u=a%20b", "//x", "/?u=*"};
    static const char *const ips[] = {"10.1.2.3", "192.0.2.1", "2001:db8::1"};
    char *parameters[] = {"HTTP_X_KEY=secret", "HTTP_HOST=example.com", NULL};
    struct key_spec spec;
    size_t fitting = 0;

    for (size_t k = 0; k < LENGTH(keys); k++) {
        if (key_parse(keys[k], &spec))
            continue;
        for (size_t i = 0; i < LENGTH(texts) * LENGTH(texts) * LENGTH(uris) * LENGTH(ips); i++) {
            size_t rest = i / LENGTH(texts) / LENGTH(texts);
            const char *pair[] = {texts[i % LENGTH(texts)],
                                  texts[i / LENGTH(texts) % LENGTH(texts)]};
            const struct request request = {"GET", uris[rest % LENGTH(uris)],
                                            ips[rest / LENGTH(uris)], parameters};
            size_t count = key_alternative_end(&spec, 0);
            char input[256];

            if (count == 1 && i / LENGTH(texts) % LENGTH(texts) > 0)
                continue;
            snprintf(input, sizeof input, "%s: %s %s, %s from %s", keys[k], pair[0], pair[1],
                     request.uri, request.remote_addr);
            bool found = fits_stored(&spec, pair, count, &request);
            want_number(input, found, fits_in_file(&spec, pair, count, &request));
            fitting += found;
        }
    }
    want_number("cases in which it fits: at least 500", fitting >= 500, true);
}

TESTS_MAIN
