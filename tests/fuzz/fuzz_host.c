/* fuzz_host.c - a host has one spelling, and normalising that again does not change it */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input), host[HOST_SIZE], again[HOST_SIZE];
    size_t len = host_normalise((struct span){text, strlen(text)}, host);

    must(len < HOST_SIZE && strlen(host) == len, "a host fits and holds no NUL");
    for (size_t i = 0; i < len; i++)
        must(!isupper((unsigned char)host[i]) && !strchr(" ,;/\\?#@<>\"", host[i]),
             "it holds nothing that no host has");
    must(len == 0 || host[len - 1] != '.', "it ends in no dot");
    if (len > 0 && !strpbrk(host, ":%"))
        must(host_normalise((struct span){host, len}, again) == len && strcmp(host, again) == 0,
             "a host is its own spelling");
    free(text);
    return 0;
}
