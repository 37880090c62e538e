/* test_network.c - tests of base/network: networks in a limits file, and the addresses in them. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/network.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>

#define ROUNDS 100000

static struct address address_of(const char *text)
{
    struct address address;

    if (!address_parse(text, &address))
        fail_msg("\"%s\" is not an address", text);
    return address;
}

TEST(a_network_is_a_prefix_and_its_length)
{
    static const struct {
        const char *text;
        unsigned bits;
        const char *address;
    } cases[] = {
        {"10.0.0.0/8", 104, "10.0.0.0"},
        {"0.0.0.0/0", 96, "0.0.0.0"},
        {"128.0.0.0/1", 97, "128.0.0.0"},
        {"192.0.2.7/32", 128, "192.0.2.7"},
        {"192.0.2.7", 128, "192.0.2.7"},
        {"255.255.255.255", 128, "255.255.255.255"},
        {"192.0.2.6/31", 127, "192.0.2.6"},
        {"2001:db8::/32", 32, "2001:db8::"},
        {"2001:DB8::/32", 32, "2001:db8::"},
        {"2001:0db8:0000::/32", 32, "2001:db8::"},
        {"::/0", 0, "::"},
        {"8000::/1", 1, "8000::"},
        {"2001:db8::1/128", 128, "2001:db8::1"},
        {"2001:db8::1", 128, "2001:db8::1"},
        {"::1", 128, "::1"},
        {"2001:db8:1:2::/64", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:8000::/65", 65, "2001:db8:1:2:8000::"},
        {"1:2:3:4:5:6:7:8", 128, "1:2:3:4:5:6:7:8"},
        /* an IPv4 address, written as an IPv6 one */
        {"::ffff:10.0.0.0/8", 104, "10.0.0.0"},
        {"::ffff:192.0.2.7", 128, "192.0.2.7"},
        {"::ffff:c000:207", 128, "192.0.2.7"},
    };

    FOR_EACH(c, cases) {
        struct address want = address_of(c->address);
        struct network network;

        want_no_error(c->text, network_parse(c->text, &network));
        want_number(c->text, network.bits, c->bits);
        want_number(c->text, memcmp(&network.address, &want, sizeof want), 0);
        want_number(c->text, network_is_meant(c->text), true);
    }
}

TEST(text_that_is_not_a_network_is_an_error_that_says_what_would_be_right)
{
    static const char *const cases[] = {
        "",
        "/",
        "/8",
        "alice",
        "*",
        "10.0.0.*",
        "10",
        "10.0",
        "10.0.0/8",
        "10.0.0.256",
        "10.0.0.0.0",
        "010.0.0.1",
        "0x0a.0.0.1",
        "167772161",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10.0.0.0 /8",
        "192.0.2.7:80",
        "[::1]",
        "[::1]:80",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "dead",
        "beef/8",
        "::ffff:10.0.0.256",
        "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
    };

    FOR_EACH(c, cases) {
        struct network network;

        want_error(*c, network_parse(*c, &network),
                   "neither an address nor a CIDR; write 192.0.2.7, 10.0.0.0/8 or");
        want_number(*c, network_is_meant(*c), false);
    }
}

TEST(a_wrong_prefix_is_an_error_that_says_what_would_be_right)
{
    static const char four[] = "the prefix of an IPv4 address is 0 to 32; write 10.0.0.0/8",
                      six[] = "the prefix of an IPv6 address is 0 to 128; write 2001:db8::/32",
                      behind[] = "bits are set behind the prefix; write 10.0.0.0/8";
    static const struct error_case cases[] = {
        {"10.0.0.0/", four},
        {"10.0.0.0/33", four},
        {"10.0.0.0/-1", four},
        {"10.0.0.0/+8", four},
        {"10.0.0.0/08", four},
        {"10.0.0.0/8 ", four},
        {"10.0.0.0/ 8", four},
        {"10.0.0.0/8/8", four},
        {"10.0.0.0/x", four},
        {"10.0.0.0/*", four},
        {"10.0.0.0/255.0.0.0", four},
        {"10.0.0.0/99999999999999999999", four},
        {"::ffff:10.0.0.0/104", four},
        {"2001:db8::/", six},
        {"2001:db8::/129", six},
        {"2001:db8::/-1", six},
        {"2001:db8::/032", six},
        {"2001:db8::/1e1", six},
        {"10.0.0.1/8", behind},
        {"10.0.0.0/6", behind},
        {"0.0.0.1/0", behind},
        {"192.0.2.7/31", behind},
        {"2001:db8::1/32", behind},
        {"2001:db8::1/127", behind},
        {"::1/0", behind},
        {"2001:db8:1:2:4000::/65", behind},
    };

    FOR_EACH(c, cases) {
        struct network network;

        want_error(c->text, network_parse(c->text, &network), c->error);
        want_number(c->text, network_is_meant(c->text), true);
    }
}

TEST(a_network_contains_the_addresses_with_its_prefix)
{
    static const struct {
        const char *network, *address;
        bool want;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "::10.1.2.3", false},
        {"192.0.2.6/31", "192.0.2.5", false},
        {"192.0.2.6/31", "192.0.2.6", true},
        {"192.0.2.6/31", "192.0.2.7", true},
        {"192.0.2.6/31", "192.0.2.8", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"0.0.0.0/0", "0.0.0.0", true},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/32", "2001:db8::", true},
        {"2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"2001:db8::/32", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false},
        {"2001:db8::/32", "2001:db9::", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {"8000::/1", "ffff::", true},
        {"8000::/1", "7fff::", false},
        /* an IPv4 client is not an IPv6 one, although its address is stored as one */
        {"::/0", "::1", true},
        {"::/0", "2001:db8::1", true},
        {"::/0", "10.0.0.1", false},
        {"::/0", "::ffff:10.0.0.1", false},
        {"::/64", "10.0.0.1", false},
        {"::/80", "10.0.0.1", false},
        {"::/80", "::1", true},
    };

    FOR_EACH(c, cases) {
        struct address address = address_of(c->address);
        struct network network;

        want_no_error(c->network, network_parse(c->network, &network));
        if (network_contains(&network, &address) != c->want)
            fail_msg("%s in %s: want %d", c->address, c->network, c->want);
    }
}

/* Whether the first BITS of A and B are equal, one by one. */
static bool same_start(const struct address *a, const struct address *b, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        if (((a->bytes[i / 8] ^ b->bytes[i / 8]) >> (7 - i % 8)) & 1)
            return false;
    return true;
}

/* A random address.  One in four is IPv4; most bits are 0, so that networks often contain it. */
static struct address random_address(uint64_t *random)
{
    struct address address = {.bytes = {0}};
    bool ipv4 = random_number(random) % 4 == 0;

    for (size_t i = ipv4 ? 12 : 0; i < sizeof address.bytes; i++)
        address.bytes[i] = (unsigned char)(random_number(random) & random_number(random) &
                                           random_number(random) & random_number(random));
    if (ipv4)
        address.bytes[10] = address.bytes[11] = 0xff;
    return address;
}

TEST(a_network_agrees_with_a_bit_by_bit_comparison)
{
    uint64_t random = 11;

    for (int round = 0; round < ROUNDS; round++) {
        struct address prefix = random_address(&random), client = random_address(&random);
        bool ipv4 = address_is_ipv4(&prefix);
        unsigned most = ipv4 ? 32 : 128, bits = (unsigned)(random_number(&random) % (most + 1));
        char text[INET6_ADDRSTRLEN + 8], address[INET6_ADDRSTRLEN];
        struct network network;

        if (round % 2 == 0) { /* the prefix with at most one bit flipped: often within */
            unsigned flip = (unsigned)(random_number(&random) % 129);
            client = prefix;
            if (flip < 128)
                client.bytes[flip / 8] ^= (unsigned char)(0x80U >> flip % 8);
        }
        address_keep_prefix(&prefix, 128 - most + bits);
        if (address_is_ipv4(&prefix) != ipv4)
            continue; /* the prefix was cut to an address of the other kind */
        inet_ntop(AF_INET6, prefix.bytes, address, sizeof address);
        snprintf(text, sizeof text, "%s/%u", address, bits);
        want_no_error(text, network_parse(text, &network));
        bool want =
            same_start(&prefix, &client, 128 - most + bits) && address_is_ipv4(&client) == ipv4;
        if (network_contains(&network, &client) != want) {
            inet_ntop(AF_INET6, client.bytes, address, sizeof address);
            fail_msg("%s in %s: want %d", address, text, want);
        }
    }
}

TEST(any_text_is_read_as_a_network_or_refused)
{
    uint64_t random = 13;

    for (int round = 0; round < ROUNDS; round++) {
        char text[80];
        struct network network;

        random_text(&random, "0123456789abf::::....//% ", text, round % 4 ? 12 : sizeof text);
        const char *error = network_parse(text, &network);
        if (!error && (network.bits > 128 || !network_contains(&network, &network.address) ||
                       !network_is_meant(text)))
            fail_msg("\"%s\" is a network that does not contain itself", text);
        if (error && !strstr(error, "; write "))
            fail_msg("\"%s\": \"%s\" does not say what would be right", text, error);
    }
}

TESTS_MAIN
