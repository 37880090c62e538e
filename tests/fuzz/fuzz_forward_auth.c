/* fuzz_forward_auth.c - a question of a trusted peer follows one convention, or is refused with a
 * reason */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/forward_auth.h"
#include "request/request.h"

#define PARAMETERS 9

/* The texts are the URI, then a value for each of the headers below.  If one is empty, the header
 * is absent. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[PARAMETERS] = {
        "HTTP_X_FORWARDED_METHOD", "HTTP_X_FORWARDED_URI",   "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",  "HTTP_X_ORIGINAL_METHOD", "HTTP_X_ORIGINAL_URI",
        "HTTP_X_ORIGINAL_URL",     "HTTP_X_ORIGINAL_HOST",   "HTTP_X_FORWARDED_FOR"};
    static struct forward_auth forward;
    struct input input = {data, size};
    char *uri = next_text(&input), *parameters[PARAMETERS + 1];
    struct network trusted;
    size_t count = 0, forwarded = 0, original = 0;

    must(!network_parse("127.0.0.0/8", &trusted), "a network");
    for (size_t i = 0; i < PARAMETERS; i++) {
        char *value = next_text(&input);
        if (*value != '\0') {
            must(asprintf(&parameters[count++], "%s=%s", names[i], value) > 0, "memory");
            forwarded += i < 3;
            original += i > 3 && i < 8;
        }
        free(value);
    }
    parameters[count] = NULL;
    const struct request request = {"GET", uri, "127.0.0.1", parameters};
    const struct forward_auth_rules rules = {&trusted, 1, FORWARD_ANY};
    const struct request *got = forward_auth_read(&request, &rules, &forward);
    if (got == &forward.request) {
        must(got->replaced_count <= FORWARD_PARAMETERS_MAX, "parameters fit");
        must(forwarded == 0 || original == 0, "a mixture is no question");
        must(got->uri[0] != '\0' && got->method[0] != '\0', "a question has a method and a target");
        must(strcmp(request_parameter(got, "REMOTE_ADDR"), got->remote_addr) == 0,
             "the client is the same everywhere");
    } else if (!got) {
        must(forward.problem != NULL, "what is refused has a reason");
    } else {
        must(strncmp(uri, FORWARD_PATH, strlen(FORWARD_PATH)) != 0 ||
                 !strchr("/?#", uri[strlen(FORWARD_PATH)]),
             "a trusted peer that asks is heard");
    }
    for (size_t i = 0; i < count; i++)
        free(parameters[i]);
    free(uri);
    return 0;
}
