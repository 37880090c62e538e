/* fuzz_key.c - two requests have the same key if and only if they have the same values, and a key
 * can be read back */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/request.h"

/* Texts per request in an input: the key, the URI, the address and the value of a parameter. */
#define FIELDS 4

/* A request, and its values for a key. */
struct keyed {
    char *text[FIELDS], *parameter[5];
    struct request request;
    struct view view;
    struct key_spec spec;
    struct key_values values;
    struct bytes value[KEY_PARTS_MAX];
    char key[KEY_SIZE];
};

/* A copy of VALUE.  The caller frees it. */
static struct bytes copy_of(struct span value)
{
    struct bytes copy = {malloc(value.len + 1), value.len};

    if (value.len > 0)
        memcpy(copy.text, value.text, value.len);
    return copy;
}

/* What a limit says about showing its values. */
enum show { SHOW_UNSAID, SHOW_TRUE, SHOW_FALSE };

/* Build the key of KEYED for a limit that says SHOW.  Returns false if its first text is not a
 * key. */
static bool build(struct keyed *keyed, enum show show)
{
    static const char *const names[] = {"HTTP_HOST", "HTTP_COOKIE", "HTTP_X_KEY", "REMOTE_USER"};
    const char *error = key_parse(keyed->text[0], &keyed->spec);

    if (error) {
        must_advise(error);
        return false;
    }
    if (show != SHOW_UNSAID)
        key_show(&keyed->spec, show == SHOW_TRUE);
    for (size_t i = 0; i < 4; i++)
        must(asprintf(&keyed->parameter[i], "%s=%s", names[i], keyed->text[3]) > 0, "memory");
    keyed->request = (struct request){"GET", keyed->text[1], keyed->text[2], keyed->parameter};
    view_begin(&keyed->view, &keyed->request, 64);
    key_find(&keyed->spec, &keyed->view, &keyed->values);
    must_be_key(keyed->key, key_build(&keyed->values, "a.limit", keyed->key), "a.limit");
    for (size_t i = 0; i < keyed->values.count; i++)
        keyed->value[i] = copy_of(keyed->values.value[i]);
    return true;
}

/* Check that PART of a key, which is cut at its '=', is the source and the value at index I. */
static void must_say(char *part, const struct keyed *keyed, size_t i)
{
    const struct key_source *source = keyed->values.source[i];
    char *value = part, *name = strsep(&value, "="), *want;

    must(asprintf(&want, "%s%s%s%s", source->lower ? "lower:" : "", key_source_word(source->kind),
                  *source->name ? ":" : "", source->name) > 0,
         "memory");
    struct bytes named = percent_decode(name, strlen(name), false);
    must(same_bytes(named, (struct bytes){want, strlen(want)}), "a key names its sources");
    struct bytes decoded = percent_decode(value, strlen(value), false);
    must(value[0] == '#' || value[0] == '\0' || !source->secret, "a secret is a digest");
    if (value[0] == '#')
        must(strlen(value) == 65 && strspn(value + 1, "0123456789abcdef") == 64, "a digest");
    else
        must(same_bytes(decoded, keyed->value[i]), "a key's values can be read back");
    free(decoded.text);
    free(named.text);
    free(want);
}

static void can_be_read_back(const struct keyed *keyed)
{
    char *identity = strndup(keyed->key + 4, strcspn(keyed->key + 4, "}")), *rest = identity;
    size_t count = 0;

    if (identity[0] == '#') {
        must(strlen(identity) == 65 && strspn(identity + 1, "0123456789abcdef") == 64, "a digest");
    } else {
        for (char *part; (part = strsep(&rest, "+")); count++)
            must_say(part, keyed, count);
        must(count == keyed->values.count, "a key holds every value");
    }
    free(identity);
}

static bool same_values(const struct keyed *one, const struct keyed *other)
{
    bool same = one->values.count == other->values.count;

    for (size_t i = 0; same && i < one->values.count; i++) {
        const struct key_source *a = one->values.source[i], *b = other->values.source[i];
        same = a->kind == b->kind && a->lower == b->lower && strcmp(a->name, b->name) == 0 &&
               same_bytes(one->value[i], other->value[i]);
    }
    return same;
}

static void free_keyed(struct keyed *keyed)
{
    for (size_t i = 0; i < FIELDS; i++)
        free(keyed->text[i]);
    for (size_t i = 0; i < 4; i++)
        free(keyed->parameter[i]);
    for (size_t i = 0; i < KEY_PARTS_MAX; i++)
        free(keyed->value[i].text);
}

/* If a text of the second request is empty, it is the same as that of the first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    static struct keyed one, other;

    memset(one.value, 0, sizeof one.value);
    memset(other.value, 0, sizeof other.value);
    memset(one.parameter, 0, sizeof one.parameter);
    memset(other.parameter, 0, sizeof other.parameter);
    for (size_t i = 0; i < FIELDS; i++)
        one.text[i] = next_text(&input);
    for (size_t i = 0; i < FIELDS; i++) {
        other.text[i] = next_text(&input);
        if (*other.text[i] == '\0') {
            free(other.text[i]);
            other.text[i] = strdup(one.text[i]);
        }
    }
    enum show show = (enum show)(size % 3);
    if (build(&one, show) && build(&other, show)) {
        can_be_read_back(&one);
        can_be_read_back(&other);
        must(same_values(&one, &other) == (strcmp(one.key, other.key) == 0),
             "two requests have one key if and only if they have the same values");
    }
    free_keyed(&one);
    free_keyed(&other);
    return 0;
}
