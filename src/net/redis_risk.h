/* SPDX-License-Identifier: MIT */
/*
 * redis_risk: what threatens the data of a Redis that serves. Judges the text of INFO; logs each risk once when it
 * begins and once when it ends, and sets tiketi_redis_risk and, of the memory, tiketi_redis_problem. Sends nothing itself.
 * Used by redis_node alone.
 */
#ifndef TIKETI_REDIS_RISK_H
#define TIKETI_REDIS_RISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_RISK_SIZE 160 /* bytes of the sentence of one risk */

enum redis_risk {
    REDIS_RISK_EVICTS,  /* keys are deleted when memory is short */
    REDIS_RISK_MEMORY,  /* memory is nearly full */
    REDIS_RISK_UNSAVED, /* no append-only file, or one that only grows */
    REDIS_RISK_SPLIT,   /* a primary that lost its replicas would go on taking writes */
    REDIS_RISK_ALONE,   /* it had a replica, and has none */
    REDIS_RISK_BEHIND,  /* a replica lacks much of what the primary has */
    REDIS_RISK_COUNT
};

/* What is known of one server; all zero at first. */
struct redis_risks {
    const char *server; /* its name in the log; borrowed; NULL counts as "" */
    char text[REDIS_RISK_COUNT][REDIS_RISK_SIZE]; /* a sentence; "": no such risk is known */
    bool full;                                    /* maxmemory is reached */
    bool followed;  /* it has, or had, a replica since this object was made */
    int64_t copies; /* replicas that are not behind */
    bool flags[4];  /* what the gauges were told */
};

/* Judges INFO's text, with whatever sections are in it; a risk that they say nothing about stays as it was. */
void redis_risk_judge(struct redis_risks *risks, const char *info);
/* Appends the sentences of all risks, with "; " between them, and a NUL. Cuts what is too long. */
void redis_risk_list(const struct redis_risks *risks, char *out, size_t size);
/* The server is used no more, or another one is: takes back what the gauges were told. That it had a replica stays known. */
void redis_risk_forget(struct redis_risks *risks);

#endif
