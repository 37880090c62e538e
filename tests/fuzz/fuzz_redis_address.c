/* fuzz_redis_address.c - no error repeats the address, and the form that is shown is parsed as the
 * same address */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "store/redis_address.h"

#define ERRORS_MAX 64

/* Check that ERROR is one of a few texts that never change.  A text with a part of the address
 * would be different for each input. */
static void is_one_of_few(const char *error)
{
    static struct {
        const char *error;
        char *text;
    } seen[ERRORS_MAX];
    size_t i = 0;

    while (i < ERRORS_MAX && seen[i].error && seen[i].error != error)
        i++;
    must(i < ERRORS_MAX, "an error is a static string");
    if (!seen[i].error) {
        seen[i].error = error;
        seen[i].text = strdup(error);
    }
    must(strcmp(seen[i].text, error) == 0, "an error repeats nothing of the address");
}

static void shown_form_reads_the_same(struct redis_address address)
{
    char shown[REDIS_ADDRESS_SHOWN_SIZE];
    struct redis_address again;

    redis_address_show(&address, shown);
    must(strlen(shown) < sizeof shown, "what is shown fits");
    must(redis_address_parse(shown, &again) == NULL, "what is shown can be read");
    memset(address.user, 0, sizeof address.user);
    memset(address.password, 0, sizeof address.password);
    must(memcmp(&address, &again, sizeof again) == 0, "and is the same, apart from the login");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input);
    struct redis_address address, untouched;

    memset(&address, 0x55, sizeof address);
    untouched = address;
    const char *error = redis_address_parse(text, &address);
    if (error) {
        must(memcmp(&address, &untouched, sizeof address) == 0, "an error leaves the result alone");
        is_one_of_few(error);
    } else {
        must((address.path[0] != '\0') == (address.port == 0), "a socket has a path, or a port");
        must((address.path[0] != '\0') != (address.host[0] != '\0'), "a path or a host");
        must(address.user[0] == '\0' || address.password[0] != '\0', "a user has a password");
        shown_form_reads_the_same(address);
    }
    free(text);
    return 0;
}
