/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer: one virtual buyer: what he does, and what he remembers of it. Also struct crowd, what
 * all buyers of a rehearsal share.
 */
#ifndef TIKETI_CROWD_BUYER_H
#define TIKETI_CROWD_BUYER_H

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

struct crowd_buyer {
    struct crowd *crowd;
    struct table_node node; /* in the crowd's roster, by buyer id */
    struct agenda_item due;
    struct dial *http, *socket;
    const struct dial_target *asked;           /* whom http reaches */
    char *guest, *ticket, *pass, *reservation; /* NULL until known; guest: his cookie */
    char *order, *reference;                   /* of his payment; the order until he is charged */

    uint64_t place, epoch; /* as his ticket says */
    uint64_t lowest;       /* position shown */
    uint64_t first_position;
    uint64_t asked_ns;       /* when the request under way was made */
    uint64_t think_until_ms; /* of loop_now_ms; so is heard_ms */
    uint64_t heard_ms;       /* last word on the socket */

    struct crowd_witness witness;
    int64_t out_since_ms; /* wall clock; 0: in touch */
    int64_t told_ms;      /* wall clock of the entry; 0: not told */

    /* what the log says of him */
    int64_t admitted_ms; /* 0: never admitted */
    uint64_t admitted_place, admitted_epoch;

    uint64_t seat_sum; /* of the seats he believes to have: see crowd_seat_hash */
    uint8_t seat_count;

    uint8_t state;             /* enum buyer_state */
    uint8_t plan, step, waits; /* enums crowd_plan, crowd_step, crowd_waits */
    uint16_t attempts;         /* in vain, in a row */
    bool queued;               /* had to wait */
    bool direct;               /* was let in by his first answer */
    bool pushed;               /* told of his entry by the socket */
    bool joined;               /* the socket under way has answered join-queue */
    bool settled;              /* has been on a socket */
    bool log_inside;           /* as the log says */
    bool log_departed;
};

#define CROWD_TARGETS_MAX 16

struct crowd {
    const struct config *config;
    const struct crowd_options *options;
    struct loop *loop;
    struct dial_net *net;     /* of sockets, and of the provider's books */
    struct dial_net *web_net; /* of requests; the same, but where they share connections */
    struct agenda *agenda;
    struct token_keys *keys;
    struct dial_target http[CROWD_TARGETS_MAX], ws[CROWD_TARGETS_MAX], provider;
    unsigned http_count, ws_count; /* pods: a buyer's number, and his failures, say which is his */
    uint32_t first;                /* number of buyers[0] in the whole crowd */
    unsigned part, parts;          /* which of how many processes this is */
    bool users;                    /* JWT users, not guests */
    char tag[9];                   /* of this run, in the names of its buyers */
    uint64_t random;
    struct buf text, token; /* scratch */

    struct crowd_buyer *buyers;
    uint32_t count;
    struct table roster;

    uint64_t begun_ns;
    struct crowd_tally tally; /* what happened */
};

/* Rolls the buyer's dice; he is ABSENT. */
void crowd_buyer_init(struct crowd *crowd, uint32_t index);
/* He will come after so many ms. */
void crowd_buyer_arrive(struct crowd_buyer *buyer, uint64_t delay_ms);
/* The agenda's callback: `arg` is the crowd. */
void crowd_buyer_due(void *arg, struct agenda_item *due);
/* The log says that his admission has ended. */
void crowd_buyer_departed(struct crowd_buyer *buyer);
/* Hangs up: no callback of his runs afterwards. Keeps what he remembers. */
void crowd_buyer_stop(struct crowd_buyer *buyer);
void crowd_buyer_clear(struct crowd_buyer *buyer);

uint32_t crowd_buyer_number(const struct crowd_buyer *buyer); /* in the whole crowd */
/* The pod he turns to now. */
const struct dial_target *crowd_buyer_http(const struct crowd_buyer *buyer);
const struct dial_target *crowd_buyer_ws(const struct crowd_buyer *buyer);
/* Gaps in touch as they are now. */
struct crowd_witness crowd_buyer_witness(const struct crowd_buyer *buyer);
/* Writes his buyer id ("u:…", "g:…") into out[BUYER_ID_MAX + 1]; "" while a guest has none. */
void crowd_buyer_id(const struct crowd_buyer *buyer, char *out);
/* NULL for a stranger. */
struct crowd_buyer *crowd_find_buyer(const struct crowd *crowd, const char *id);
/* Seats are compared by number and by the sum of these: the order does not matter. */
uint64_t crowd_seat_hash(const char *id);
bool crowd_done(const struct crowd *crowd); /* every buyer has ended */

#endif
