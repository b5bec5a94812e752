/* SPDX-License-Identifier: MIT */
/*
 * redis_node: commands and scripts on one pipelined connection to one server, each with a deadline. Only redis and
 * redis_cluster use it; callers use redis.h.
 */
#ifndef TIKETI_REDIS_NODE_H
#define TIKETI_REDIS_NODE_H

#include "net/redis_health.h"
#include "net/redis_link.h"
#include "net/redis_opts.h"
#include "net/redis_state.h"

#define REDIS_TAG_SIZE 16 /* bytes of a hash tag of the probe, with its NUL */

struct redis_node;

/* A command under way. A node owns the commands that it has sent; on_misplaced may take one and give it to another
 * node, or keep it for a while. */
struct redis_op {
    struct redis_op *next;
    redis_cb cb; /* may be NULL */
    void *arg;
    uint64_t start_ns;
    uint64_t deadline_ms; /* by loop_now_ms */
    uint64_t retry_ms;    /* for redis_cluster: not sent again before */
    int slot;             /* of its key; -1: it is for this node and no other */
    unsigned char moves;  /* for redis_cluster: how often it was sent elsewhere */
    bool asking;          /* ASKING is sent before it */
    bool refused, tried; /* for redis_cluster: a node could not execute it yet; it was sent alone */
    bool whole;          /* `text` is the whole command: it can be sent again */
    bool by_text;        /* the script is sent as text (EVAL), because the node does not have it */
    const struct redis_script *script; /* NULL: a plain command */
    size_t arg_count;                  /* of a script call, with its name and the script */
    size_t text_len;
    char text[]; /* of a script call: the formatted arguments that follow the script */
};

/* The callbacks of a node's user. Each may close the node. */
struct redis_node_user {
    void (*on_up)(void *arg);
    void (*on_down)(void *arg, bool was_up); /* also after each failed attempt to connect */
    /* The node of a cluster does not serve this command, whose slot is not -1, now; `error` is its reply. The callback
     * takes the command. */
    void (*on_misplaced)(void *arg, struct redis_op *op, const char *error);
};

struct redis_node_opts {
    struct loop *loop;                     /* borrowed */
    const struct redis_server *server;     /* copied; NULL: the endpoint */
    const struct redis_endpoint *endpoint; /* copied; a node of a cluster */
    int64_t timeout_ms;
    struct redis_script *const *scripts; /* borrowed */
    size_t script_count;
    const struct redis_probe *probe;    /* borrowed; NULL: nothing is asked, any role is fine */
    const struct redis_node_user *user; /* borrowed */
    void *arg;
};

/* Returns new; connects as redis_link says. ST_INVALID: the server or the timeout cannot be used. */
MUST_CHECK enum status redis_node_open(const struct redis_node_opts *opts, struct redis_node **ret);
/* Fails pending commands, as redis_stop does, and refuses later ones. */
void redis_node_stop(struct redis_node *node);
/* Runs no callback of the user any more; stops the node, frees it later, then runs cb (may be NULL). */
void redis_node_close(struct redis_node *node, loop_cb cb, void *arg);
bool redis_node_up(const struct redis_node *node);
/* Is the first attempt to connect under way? */
bool redis_node_is_new(const struct redis_node *node);
size_t redis_node_in_flight(const struct redis_node *node); /* commands */
/* Is a command of this slot in flight that was started before that time (clock_mono_ns)? Looks at each in flight. */
bool redis_node_has_older(const struct redis_node *node, int slot, uint64_t start_ns);
struct redis_state redis_node_state(const struct redis_node *node);
/* The probe of a cluster's node needs a key that is there: one with this hash tag. Copies it. */
void redis_node_set_tag(struct redis_node *node, const char *tag);
/* Does the clock of this server feed shared_clock? At first it does. */
void redis_node_set_clock(struct redis_node *node, bool feeds);
/* May the user publish to the channel of one event alone? Known when it is up. */
bool redis_node_shards_channels(const struct redis_node *node);

/* As redis_command and redis_eval, with the same promise. `slot` -1: never given to on_misplaced. */
MUST_CHECK enum status redis_node_command(struct redis_node *node, int slot,
                                          const struct redis_args *args, redis_cb cb, void *arg);
MUST_CHECK enum status redis_node_eval(struct redis_node *node, int slot,
                                       const struct redis_script *script, size_t key_count,
                                       const struct redis_args *args, redis_cb cb, void *arg);
/* A command, or a call of a script, before it is sent. */
struct redis_call {
    int slot;
    const struct redis_script *script; /* NULL: a plain command */
    size_t key_count;
    const struct redis_args *args; /* borrowed for the call; none has failed */
    redis_cb cb;
    void *arg;
};
/* Returns new in *ret_op: the command, its deadline counted from now, for redis_node_resend. ST_TOO_LARGE, or
 * ST_UNAVAILABLE: stopped. */
MUST_CHECK enum status redis_node_prepare(struct redis_node *node, const struct redis_call *call,
                                          struct redis_op **ret_op);
/* Sends a command that on_misplaced took, or that was prepared. True: the node has taken it. False: the node is not up. */
bool redis_node_resend(struct redis_node *node, struct redis_op *op);
/* Ends such a command: runs its callback without a reply, and frees it. */
void redis_op_fail(struct redis_op *op, enum status status);

#endif
