/* table.h - what the table tests share.  A case that fails prints its input.  Include it first. */
#ifndef TABLE_H
#define TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(table) (sizeof(table) / sizeof *(table))

static inline void want_text(const char *input, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": got \"%s\", want \"%s\"", input, got, want);
}

static inline void want_number(const char *input, int64_t got, int64_t want)
{
    if (got != want)
        fail_msg("\"%s\": got %lld, want %lld", input, (long long)got, (long long)want);
}

static inline void want_no_error(const char *input, const char *error)
{
    if (error)
        fail_msg("\"%s\": refused: %s", input, error);
}

/* ERROR is one, and says FRAGMENT. */
static inline void want_error(const char *input, const char *error, const char *fragment)
{
    if (!error)
        fail_msg("\"%s\": accepted, want an error that says \"%s\"", input, fragment);
    else if (!strstr(error, fragment))
        fail_msg("\"%s\": \"%s\", want an error that says \"%s\"", input, error, fragment);
}

/* The next number after *STATE; every run sees the same ones (splitmix64, Vigna). */
static inline uint64_t random_number(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* A number from MIN to MAX, small ones as likely as large ones: the bounds lie at both ends. */
static inline int64_t random_between(uint64_t *state, int64_t min, int64_t max)
{
    uint64_t size = (uint64_t)max - (uint64_t)min;
    uint64_t number = random_number(state) >> (random_number(state) % 64);

    return (int64_t)((uint64_t)min + (size == UINT64_MAX ? number : number % (size + 1)));
}

/* Up to SIZE - 1 characters out of ALPHABET, into OUT.  Returns OUT. */
static inline char *random_text(uint64_t *state, const char *alphabet, char *out, size_t size)
{
    size_t len = random_number(state) % size;

    for (size_t i = 0; i < len; i++)
        out[i] = alphabet[random_number(state) % strlen(alphabet)];
    out[len] = '\0';
    return out;
}

#endif
