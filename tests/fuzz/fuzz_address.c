/* fuzz_address.c - addresses are parsed as by a regular expression and inet_pton, and a network
 * contains the addresses that begin with its bits */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <arpa/inet.h>
#include <regex.h>

#include "base/network.h"

#define IPV6 "([0-9A-Fa-f.]*:[0-9A-Fa-f.:]*)"
#define PORT "(:[0-9]{1,5})?$"

/* Parse TEXT independently: the first group of the expression that it matches is passed to
 * inet_pton. */
static bool reference(const char *text, struct address *out)
{
    static const char *const forms[] = {"^([0-9.]+)" PORT, "^" IPV6 "(%.+)?$",
                                        "^\\[" IPV6 "(%[^]]+)?\\]" PORT};
    static regex_t regex[3];
    regmatch_t group[2];

    for (size_t i = 0; i < 3; i++) {
        if (regex[i].re_nsub == 0)
            must(regcomp(&regex[i], forms[i], REG_EXTENDED) == 0, "the expressions are right");
        if (regexec(&regex[i], text, 2, group, 0) != 0)
            continue;
        char *host = strndup(text + group[1].rm_so, (size_t)(group[1].rm_eo - group[1].rm_so));
        memcpy(out->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        bool read = i == 0 ? inet_pton(AF_INET, host, &out->bytes[12]) == 1
                           : inet_pton(AF_INET6, host, out->bytes) == 1;
        free(host);
        if (read)
            return true;
    }
    return false;
}

static bool same_bits(const struct address *one, const struct address *other, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        if ((one->bytes[i / 8] ^ other->bytes[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

/* Two clients differ if and only if the bits of their prefixes differ, and a client's text is
 * parsed as a network that contains the client. */
static void formats_as_its_prefix(const struct address *one, const struct address *other,
                                  unsigned bits)
{
    char text[ADDRESS_SIZE], other_text[ADDRESS_SIZE];
    bool ipv4 = address_is_ipv4(one) || address_is_ipv4(other);
    struct network client;

    address_format(one, bits, text);
    address_format(other, bits, other_text);
    must((strcmp(text, other_text) == 0) == same_bits(one, other, ipv4 ? ADDRESS_BITS : bits),
         "two clients have one text if their prefixes are the same");
    must(!network_parse(text, &client), "the text of a client is a network");
    must(client.bits == (address_is_ipv4(one) ? ADDRESS_BITS : bits), "of the prefix's bits");
    must(network_contains(&client, one), "which the client is in");
}

static void contains_as_by_bits(const char *text, const struct address *one)
{
    struct network network;
    const char *error = network_parse(text, &network);
    struct address zero = {{0}};

    if (error) {
        must_advise(error);
        return;
    }
    must(network_is_meant(text), "a network is meant to be one");
    must(network_contains(&network, one) ==
             (address_is_ipv4(&network.address) == address_is_ipv4(one) &&
              same_bits(&network.address, one, network.bits)),
         "a network contains what is of its family and begins with its bits");
    for (unsigned i = network.bits; i < ADDRESS_BITS; i++)
        must(!(network.address.bytes[i / 8] >> (7 - i % 8) & 1), "behind its bits are none");
    address_keep_prefix(&network.address, 0);
    must(same_bits(&network.address, &zero, ADDRESS_BITS), "of no bits nothing is kept");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input), *other_text = next_text(&input), *network = next_text(&input);
    unsigned bits = input.size > 0 ? 1 + input.data[0] % ADDRESS_BITS : 64;
    struct address one = {{1}}, want = {{2}}, other = {{3}};
    bool is_one = address_parse(text, &one);

    must(is_one == reference(text, &want), "an address is what the expressions and inet_pton read");
    must(!is_one || same_bits(&one, &want, ADDRESS_BITS), "and of the same bits");
    if (is_one)
        contains_as_by_bits(network, &one);
    if (is_one && address_parse(other_text, &other))
        formats_as_its_prefix(&one, &other, bits);
    free(network);
    free(other_text);
    free(text);
    return 0;
}
