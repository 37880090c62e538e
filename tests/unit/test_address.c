/* test_address.c - tests of base/address: the forms of an address, and the name of its bucket. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#define ROUNDS 200

/* The client at TEXT, as its bucket's key names it; "" and false if TEXT is not an address. */
static bool address_client(const char *text, unsigned prefix_bits, char out[ADDRESS_SIZE])
{
    struct address address;

    out[0] = '\0';
    if (!address_parse(text, &address))
        return false;
    address_format(&address, prefix_bits, out);
    return true;
}

static void want_client(const char *text, unsigned prefix_bits, const char *want)
{
    char got[ADDRESS_SIZE] = "untouched";
    bool is_address = address_client(text, prefix_bits, got);

    want_text(text, got, want);
    want_number(text, is_address, want[0] != '\0');
}

TEST(an_ipv4_client_is_its_address)
{
    static const struct text_case cases[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.0.2.7:80", "192.0.2.7"},
        {"192.0.2.7:65535", "192.0.2.7"},
    };

    FOR_EACH(c, cases) {
        want_client(c->text, 64, c->want);
        want_client(c->text, 1, c->want);
    }
}

TEST(an_ipv6_client_is_its_prefix)
{
    static const struct {
        const char *text;
        unsigned prefix_bits;
        const char *want;
    } cases[] = {
        {"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
        {"2001:DB8:0001:2::1", 64, "2001:db8:1:2::/64"},
        {"2001:db8:1:2ff::1", 56, "2001:db8:1:200::/56"},
        {"2001:db8:1:2ff::1", 48, "2001:db8:1::/48"},
        {"2001:db8:1:2::1", 128, "2001:db8:1:2::1"},
        {"2001:db8:1:2::1", 127, "2001:db8:1:2::/127"},
        {"ffff::1", 1, "8000::/1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 121,
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff80/121"},
        {"::1", 64, "::/64"},
        {"::1", 128, "::1"},
        {"::", 64, "::/64"},
        {"[2001:db8::1]", 64, "2001:db8::/64"},
        {"[2001:db8::1]:80", 64, "2001:db8::/64"},
        {"fe80::1%eth0", 64, "fe80::/64"},
        {"[fe80::1%eth0]:80", 64, "fe80::/64"},
        {"2001:db8::192.0.2.7", 128, "2001:db8::c000:207"},
    };

    FOR_EACH(c, cases)
        want_client(c->text, c->prefix_bits, c->want);
}

TEST(an_ipv4_address_mapped_into_ipv6_is_the_ipv4_client)
{
    static const char *const cases[] = {
        "::ffff:192.0.2.7",        "::FFFF:192.0.2.7",      "::ffff:c000:207",
        "0:0:0:0:0:ffff:c000:207", "[::ffff:192.0.2.7]:80", "::ffff:192.0.2.7%eth0",
    };

    FOR_EACH(c, cases) {
        want_client(*c, 64, "192.0.2.7");
        want_client(*c, 128, "192.0.2.7");
    }
}

TEST(text_that_is_not_an_address_gives_nothing)
{
    static const char *const cases[] = {
        "",
        "/run/lighttpd.sock",
        "unix:",
        "localhost",
        "example.org:80",
        "192.0.2",
        "192.0.2.7.1",
        "192.0.2.256",
        "192.0.02.7",
        "0xc0.0.2.7",
        "3221225991",
        " 192.0.2.7",
        "192.0.2.7 ",
        "192.0.2.7\n",
        "192.0.2.7, 192.0.2.8",
        "192.0.2.7/24",
        "192.0.2.7:",
        "192.0.2.7:http",
        "192.0.2.7:-1",
        "192.0.2.7:123456",
        "192.0.2.7:80:80",
        "192.0.2.7%eth0",
        "[192.0.2.7]",
        "[192.0.2.7]:80",
        "2001:db8::/64",
        "2001:db8::1::2",
        "2001:db8:::1",
        "2001:db8::12345",
        "2001:db8::g",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7",
        ":",
        ":80",
        ":::",
        "[",
        "[]",
        "[]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]80",
        "[2001:db8::1]:",
        "[2001:db8::1]:80x",
        "[[2001:db8::1]]",
        "fe80::1%",
        "[fe80::1%]:80",
        "%eth0",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2550000000000000000000000000000000000000000000",
    };

    FOR_EACH(c, cases)
        want_client(*c, 64, "");
}

/* A random address that is not mapped from IPv4: its first bit is set. */
static struct in6_addr random_ipv6(uint64_t *seed)
{
    struct in6_addr address;

    for (size_t i = 0; i < sizeof address.s6_addr; i++)
        address.s6_addr[i] = (uint8_t)random_number(seed);
    address.s6_addr[0] |= 0x80;
    return address;
}

static void show(struct in6_addr address, unsigned prefix_bits, char out[ADDRESS_SIZE])
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, &address, text, sizeof text);
    if (!address_client(text, prefix_bits, out))
        fail_msg("\"%s\": refused", text);
}

TEST(two_ipv6_clients_are_one_exactly_if_their_prefixes_are_equal)
{
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct in6_addr address = random_ipv6(&seed);

        for (unsigned prefix_bits = 1; prefix_bits <= 128; prefix_bits++) {
            unsigned bit = 1 + (unsigned)random_number(&seed) % 127;
            struct in6_addr other = address;
            char one[ADDRESS_SIZE], two[ADDRESS_SIZE];

            other.s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            show(address, prefix_bits, one);
            show(other, prefix_bits, two);
            if ((strcmp(one, two) == 0) != (bit >= prefix_bits))
                fail_msg("bit %u differs: \"%s\" and \"%s\"", bit, one, two);
        }
    }
}

TEST(two_ipv4_clients_are_never_one)
{
    uint64_t seed = 2;

    for (int round = 0; round < 100 * ROUNDS; round++) {
        struct in_addr address = {(uint32_t)random_number(&seed)};
        char text[INET6_ADDRSTRLEN], mapped[INET6_ADDRSTRLEN + 8];

        inet_ntop(AF_INET, &address, text, sizeof text);
        snprintf(mapped, sizeof mapped, "::ffff:%s", text);
        want_client(text, 64, text);
        want_client(mapped, 64, text);
    }
}

TEST(any_text_gives_an_address_or_nothing)
{
    uint64_t seed = 3;
    int accepted = 0;

    for (int round = 0; round < 5000 * ROUNDS; round++) {
        char text[14], got[ADDRESS_SIZE];
        char *slash;
        struct in6_addr parsed;

        random_text(&seed, "::::..01f[]%/", text, sizeof text);
        if (!address_client(text, 64, got)) {
            want_text(text, got, "");
            continue;
        }
        accepted++;
        slash = strchr(got, '/');
        if (slash)
            *slash = '\0';
        if (inet_pton(slash ? AF_INET6 : AF_INET, got, &parsed) != 1)
            fail_msg("\"%s\": gave \"%s\", which is not an address", text, got);
    }
    assert_true(accepted > 100);
}

TESTS_MAIN
