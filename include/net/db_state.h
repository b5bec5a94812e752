/* SPDX-License-Identifier: MIT */
/* db_state: what a pool (db.h) knows about its PostgreSQL. */
#ifndef TIKETI_DB_STATE_H
#define TIKETI_DB_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* Why a database is not used. */
enum db_fault {
    DB_FAULT_NONE,
    DB_FAULT_REACH,    /* no connection: the address, the password, a server that does not answer */
    DB_FAULT_ENCODING, /* it is not UTF8 */
    DB_FAULT_SCHEMA,   /* older than this program, or too new for it */
    DB_FAULT_CONNECTIONS /* this process may open more than there are */
};

/* What an operator has to know about PostgreSQL. What concerns the server is that of its last answer. */
struct db_state {
    bool up;             /* see db_up */
    enum db_fault fault; /* when it is not up, unless no attempt has ended yet */
    const char *problem; /* the same in words; "": none; borrowed until the loop's next turn */
    bool read_only;      /* it refuses writes: a standby, or default_transaction_read_only */
    bool standby;
    bool pooled;                /* behind PgBouncer or the like: nothing is kept in a session */
    int64_t generation, oldest; /* of its schema (db_schema.h); 0: none */
    int64_t may_open, limit, others; /* connections: ours at most; allowed; of others */
};

#endif
