/* fuzz_redis_reply.c - input from Redis is a reply or unfit, in pieces of any size alike */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <hiredis/hiredis.h>

#include "store/redis_reply.h"
#include "store/script.h"

static const struct charge asked[2] = {
    {.key = "rl:{a}:x", .key_len = 8, .interval_us = 12000000, .capacity = 5, .cost = 1},
    {.key = "rl:{a}:y", .key_len = 8, .interval_us = 1000, .capacity = 100, .cost = 0},
};

/* The number of replies in an input, a hash of them, and the final state. */
struct outcome {
    size_t replies;
    uint64_t hash;
    enum redis_reply_state state;
};

static void look_at(const struct redis_reply *reply, struct outcome *outcome)
{
    struct charge charges[2] = {asked[0], asked[1]};

    must(reply->count <= REDIS_REPLY_NUMBERS_COUNT, "the numbers of a reply are bounded");
    must(strlen(reply->text) <= reply->len, "a text is as long as it was sent, or cut");
    must(reply->kind == REDIS_SAYS_NUMBERS || reply->count == 0, "only an array has numbers");
    if (script_read(reply, charges, 2)) {
        must(charges[0].balance.remaining <= 5 && charges[1].balance.remaining <= 100,
             "no more than the capacity");
        must(charges[0].balance.allowed || charges[0].balance.wait_us != 0,
             "a refusal says how long it lasts");
    }
    if (reply->kind == REDIS_SAYS_ERROR)
        must(!script_error_is(reply->text, "OOM") || strstr(reply->text, "OOM"), "a code is there");
    outcome->replies++;
    outcome->hash = outcome->hash * 31 + reply->kind + reply->count;
    for (size_t i = 0; i < reply->count; i++)
        outcome->hash = outcome->hash * 31 + (uint64_t)reply->number[i];
    for (const char *at = reply->text; *at; at++)
        outcome->hash = outcome->hash * 31 + (unsigned char)*at;
}

static struct outcome read_all(const uint8_t *data, size_t size, size_t piece)
{
    static struct redis_reply reply;
    struct outcome outcome = {0, 0, REDIS_REPLY_PARTIAL};
    redisReader *reader = redisReaderCreate();

    redis_reply_store(reader, &reply);
    for (size_t at = 0; at < size && outcome.state != REDIS_REPLY_UNFIT; at += piece) {
        redisReaderFeed(reader, (const char *)data + at, size - at < piece ? size - at : piece);
        while ((outcome.state = redis_reply_next(reader)) == REDIS_REPLY_COMPLETE)
            look_at(&reply, &outcome);
        must(reader->len - reader->pos <= REDIS_REPLY_UNREAD_MAX ||
                 outcome.state == REDIS_REPLY_UNFIT,
             "what is kept is bounded");
    }
    redisReaderFree(reader);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size > 0 ? 1 + data[0] % 16 : 1;
    struct outcome whole = read_all(data + (size > 0), size - (size > 0), 4096);
    struct outcome pieces = read_all(data + (size > 0), size - (size > 0), piece);

    must(whole.replies == pieces.replies && whole.hash == pieces.hash,
         "the replies are the same in whatever pieces they come");
    must(whole.state == pieces.state, "and so is what is unfit");
    return 0;
}
