/* SPDX-License-Identifier: MIT */
/*
 * block_ms: holds this thread up, as a busy or suspended process would be, or until a clock has moved on.
 * Never a way to wait for something: a test that waits turns its loop until it is there.
 */
#ifndef TIKETI_TEST_BLOCK_H
#define TIKETI_TEST_BLOCK_H

#include <time.h>

static inline void block_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

#endif
