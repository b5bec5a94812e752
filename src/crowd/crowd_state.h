/* SPDX-License-Identifier: MIT */
/*
 * crowd_state: the data of a rehearsal: what all buyers share, and what each of them remembers. Only data: the files
 * of the crowd work on it.
 */
#ifndef TIKETI_CROWD_STATE_H
#define TIKETI_CROWD_STATE_H

#include "auth/token.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/table.h"
#include "client/agenda.h"
#include "client/dial.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_tally.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* The end of a step: ST_OK, or why it failed. */
typedef void (*crowd_done_cb)(void *arg, enum status status);

struct crowd_buyer {
    struct crowd *crowd;
    struct table_node node; /* in the crowd's roster, by buyer id */
    struct agenda_item due;
    struct dial *http, *socket;
    const struct dial_target *asked;           /* the target of `http` */
    char *guest, *ticket, *pass, *reservation; /* NULL until known; guest: the cookie */
    char *order, *reference;                   /* of the payment; the order until it is charged */

    uint64_t place, epoch; /* of the ticket */
    uint64_t lowest;       /* lowest position shown */
    uint64_t first_position;
    uint64_t asked_ns;       /* when the request under way was made */
    uint64_t think_until_ms; /* of loop_now_ms; so is heard_ms */
    uint64_t heard_ms;       /* last message or ping on the socket */

    struct crowd_witness witness;
    int64_t out_since_ms; /* wall clock; 0: in touch */
    int64_t entry_ms;     /* wall clock of the entry message; 0: none */

    /* from the admission log */
    int64_t admitted_ms; /* 0: never admitted */
    uint64_t admitted_place, admitted_epoch;

    uint64_t seat_sum; /* of the seats the buyer knows: crowd_seat_hash */
    uint8_t seat_count;

    uint8_t state;             /* enum buyer_state */
    uint8_t plan, step, waits; /* enums crowd_plan, crowd_step, crowd_waits */
    uint16_t attempts;         /* failures in a row */
    bool queued;               /* the first answer was to wait */
    bool direct;               /* direct admission */
    bool pushed;               /* the entry message came by the socket */
    bool joined;               /* the socket under way has answered join-queue */
    bool settled;              /* has been on a socket */
    bool log_inside;           /* the log says so */
    bool log_departed;
};

#define CROWD_TARGETS_MAX 16

struct crowd {
    const struct config *config;
    const struct crowd_options *options;
    struct loop *loop;
    struct dial_net *net;     /* for sockets and the provider's books */
    struct dial_net *web_net; /* for requests; another one with --connections */
    struct agenda *agenda;
    struct token_keys *keys;
    struct dial_target http[CROWD_TARGETS_MAX], ws[CROWD_TARGETS_MAX], provider;
    unsigned http_count, ws_count; /* pods: a buyer's number and failures choose one */
    uint32_t first;                /* number of buyers[0] in the whole crowd */
    unsigned part, parts;          /* which of how many processes this is */
    bool users;                    /* users with JWTs, not guests */
    char tag[9];                   /* random, part of the names of this run's buyers */
    uint64_t random;
    struct buf text, token; /* scratch */

    struct crowd_buyer *buyers;
    uint32_t count;
    struct table roster;

    uint64_t begun_ns;
    struct crowd_tally tally; /* what happened */
};

#endif
