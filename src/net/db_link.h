/* SPDX-License-Identifier: MIT */
/*
 * db_link: one connection to PostgreSQL and what it is made from; the ground under db, which alone
 * uses it. It has no deadlines and never comes back: db gives it up and opens another.
 */
#ifndef TIKETI_DB_LINK_H
#define TIKETI_DB_LINK_H

#include "net/db.h"
#include "net/loop.h"

/* ---- the connection string, parsed once (db_endpoint.c) ---- */

struct db_target {
    char *host, *hostaddr, *port; /* "" is the default; a hostaddr needs no looking up */
};

struct db_endpoint {
    void *info;                /* libpq's list (PQconninfoOption) of what the string says */
    struct db_target *targets; /* the servers, any of which may be the one that answers; none: the
                                  default, which needs no looking up */
    size_t target_count;
    char *options, *name;
    char user_timeout[24];
};

/* New. ST_INVALID (logged) on a bad string or a service file. */
MUST_CHECK enum status db_endpoint_parse(const char *url, const char *name, int64_t timeout_ms,
                                         struct db_endpoint **ret_endpoint);
void db_endpoint_free(struct db_endpoint *endpoint);

/* What PQconnectStartParams takes; all texts are borrowed. */
#define DB_KEYWORDS_MAX 64
struct db_keywords {
    const char *names[DB_KEYWORDS_MAX + 1], *values[DB_KEYWORDS_MAX + 1]; /* NULL-terminated */
    size_t count;
};
/* The first mention of a keyword counts. */
void db_keywords_add(struct db_keywords *words, const char *name, const char *value);
/* What the string says, then what we add where it is silent; no host. Zeroed before. */
void db_endpoint_keywords(const struct db_endpoint *endpoint, struct db_keywords *words);

/* ---- the connection (db_link.c) ---- */

struct db_link;

#define DB_LINK_DEPTH 8 /* statements under way on one connection */

/* How one statement ended, and what that says about its connection. */
struct db_outcome {
    enum status status;
    bool drop;  /* the connection is of no use any more: close it when nothing is under way on it */
    bool again; /* nothing was done, and on another connection it may go better */
};

/* None of these runs from inside a db_link_* function. */
struct db_link_user {
    void (*on_up)(void *arg); /* may close the link */
    /* The oldest statement under way is over. `result` is the receiver's: free it by
     * db_result_free. Must neither close the link nor send on it: more may follow at once. */
    void (*on_result)(void *arg, struct db_outcome outcome, struct db_result *result);
    /* Not connected, or not any more: close it. What is under way ends without an answer. `error`
     * is borrowed. */
    void (*on_down)(void *arg, const char *error);
};

/* New; `endpoint` and `user` are borrowed for its life. `skip`: of the addresses, begin with the one
 * after so many (modulo their number). */
struct db_link *db_link_open(struct loop *loop, const struct db_endpoint *endpoint, unsigned skip,
                             const struct db_link_user *user, void *arg);
void db_link_close(struct db_link *link); /* the memory goes at once */
/* Looks whether a link with nothing under way is still there: it may have died unseen. */
bool db_link_alive(struct db_link *link);
/* Sends one statement, a transaction of its own, behind at most DB_LINK_DEPTH - 1 others: they are
 * done one after the other, and one that fails leaves the others alone. limit_ms > 0: a
 * statement_timeout for it alone. False: the connection is lost: close it. Copies the params. */
MUST_CHECK bool db_link_send(struct db_link *link, const struct db_stmt *stmt,
                             const char *const *params, int64_t limit_ms);
/* Did all of the statement sent last leave? If not, it was not and will not be done. */
bool db_link_sent(const struct db_link *link);
/* Why it was lost; "" when unknown. Borrowed. */
const char *db_link_error(const struct db_link *link);

void db_result_free(struct db_result *result);

#endif
