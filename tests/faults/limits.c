/* limits.c - small buckets, so that all of them are empty most of the time. */
/* SPDX-License-Identifier: MIT */
#include "limits.h"

/* The limits of a group follow each other. */
const struct limit limits[LIMITS_COUNT] = {
    {"greedy", "greedy", 20, 10},      {"costly", "costly", 30, 20},
    {"several", "several-a", 10, 5},   {"several", "several-b", 40, 3},
    {"several", "several-c", 300, 10}, {"many", "many", 5, 1},
    {"patient", "patient", 3, 2},
};
