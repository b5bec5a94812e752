/* SPDX-License-Identifier: MIT */
/*
 * redis_sub: subscriptions that renew themselves: to one channel of a single server, or to channels of a cluster.
 *
 *   single server              one feed: SUBSCRIBE
 *   cluster, channels sharded  a feed to each primary that has one of the channels: SSUBSCRIBE, channel by channel
 *   cluster, else              one feed to any primary: SUBSCRIBE; the nodes pass messages on to each other
 *
 * Why this way: a subscriber only reads, so it would never notice a dead connection. Therefore it pings Redis (RESP2
 * allows that while subscribed) and closes a connection on which nothing arrives. When a slot moves, its old primary says
 * sunsubscribe: the channel is then subscribed at the new one as soon as the map of slots (redis_cluster) names it.
 * Called by: gateway and processor. Owns: its connections; Redis allows no other commands on them.
 * Invariants: on_state(true) runs before the first message of a subscription, on_state(false) after the last; a channel
 * that was just added does not change the state.
 * Messages published while it is down are lost; a message is only a hint to read the state from Redis.
 * When Redis is gone: the subscription notices within twice the timeout, then connects again as redis_link.c says.
 */
#include "net/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/table.h"
#include "net/redis_cluster.h"
#include "net/redis_dial.h"
#include "net/redis_link.h"
#include "net/redis_slots.h"

#define ARRANGE_MS  100  /* between two attempts to subscribe where a channel has no node */
#define CHANNEL_MAX 1024 /* bytes of a command to subscribe */

/* A connection that is subscribed. */
struct feed {
    struct redis_sub *sub;
    struct feed *next;
    struct redis_link *link;
    struct loop_timer
        *timer;  /* while up: fires for the next ping, or at the deadline of the last one */
    bool pinged; /* a ping was sent, and nothing was received since */
    bool late;   /* the ping's deadline has passed; the pong may be in the socket */
    bool sharded;
    char host[REDIS_HOST_MAX + 1]; /* in a cluster */
    int port;
};

/* A channel of one shard, in a cluster. */
struct channel {
    struct table_node node; /* must be the first member: a node is cast to its channel */
    struct channel *next;
    unsigned refs;
    unsigned slot;
    struct feed *feed; /* where it is subscribed, or is being; NULL: nowhere */
    bool confirmed;
    bool lost; /* it was confirmed before, and is not now */
    char name[];
};

struct redis_sub {
    struct redis_sub_opts opts;
    char *channel;
    struct redis_cluster *cluster; /* NULL: a single server */
    struct feed *feeds;
    struct table table; /* of the channels */
    struct channel *channels;
    struct loop_timer *arrange; /* in a cluster */
    bool up;
    bool closing;
    size_t open; /* feeds that are not freed yet, and 1 until it is closed */
    struct loop_task gone;
    loop_cb on_closed;
    void *on_closed_arg;
};

static void tell_state(struct redis_sub *sub, bool up)
{
    if (up == sub->up)
        return;
    sub->up = up;
    if (sub->opts.on_state && !sub->closing)
        sub->opts.on_state(sub->opts.arg, up);
}

/* ---- channels of shards ---- */

static struct channel *channel_find(const struct redis_sub *sub, const char *name)
{
    struct table_node *node =
        table_first(&sub->table, table_hash(&sub->table, name, strlen(name), "", 0));
    while (node && strcmp(((struct channel *)node)->name, name) != 0)
        node = table_next(node);
    return (struct channel *)node;
}

static void channel_send(const struct channel *channel, const char *verb)
{
    struct buf text;
    buf_init(&text, CHANNEL_MAX);
    redis_format_head(&text, 2);
    redis_format_arg(&text, verb, strlen(verb));
    redis_format_arg(&text, channel->name, strlen(channel->name));
    if (!text.failed && redis_link_up(channel->feed->link))
        (void)redis_link_send(channel->feed->link, text.data, text.len);
    buf_clear(&text);
}

/* All that were confirmed once are so now. */
static void judge_channels(struct redis_sub *sub)
{
    bool up = sub->channels;
    for (const struct channel *channel = sub->channels; channel; channel = channel->next)
        up = up && !channel->lost &&
             (channel->confirmed || strcmp(channel->name, sub->channel) != 0);
    tell_state(sub, up);
}

/* The channel is not subscribed there any more; where, the map will say. */
static void channel_lose(struct channel *channel)
{
    channel->lost = channel->lost || channel->confirmed;
    channel->confirmed = false;
    channel->feed = NULL;
}

/* ---- feeds ---- */

static void on_sub_gone(void *arg)
{
    struct redis_sub *sub = arg;
    loop_cb cb = sub->on_closed;
    void *cb_arg = sub->on_closed_arg;
    free(sub->channel);
    free(sub);
    if (cb)
        cb(cb_arg);
}

static void one_gone(struct redis_sub *sub)
{
    if (--sub->open == 0)
        loop_defer(sub->opts.loop, &sub->gone);
}

static void on_feed_gone(void *arg)
{
    struct feed *feed = arg;
    struct redis_sub *sub = feed->sub;
    free(feed);
    one_gone(sub);
}

static void feed_close(struct feed *feed)
{
    struct feed **at = &feed->sub->feeds;
    while (*at != feed)
        at = &(*at)->next;
    *at = feed->next;
    for (struct channel *channel = feed->sub->channels; channel; channel = channel->next)
        if (channel->feed == feed)
            channel_lose(channel);
    loop_timer_close(feed->timer);
    redis_link_close(feed->link, on_feed_gone, feed);
}

static void on_feed_greet(void *arg)
{
    const struct feed *feed = arg;
    const char *argv[] = {"SUBSCRIBE", feed->sub->channel};
    if (!feed->sharded)
        redis_link_greet(feed->link, 2, argv);
}

static void on_feed_up(void *arg)
{
    struct feed *feed = arg;
    struct redis_sub *sub = feed->sub;
    feed->pinged = feed->late = false;
    loop_timer_set(feed->timer, (uint64_t)sub->opts.timeout_ms);
    if (!feed->sharded)
        tell_state(sub, true);
    for (struct channel *channel = sub->channels; channel; channel = channel->next)
        if (channel->feed == feed)
            channel_send(channel, "SSUBSCRIBE");
}

static void on_feed_down(void *arg, bool was_up)
{
    struct feed *feed = arg;
    struct redis_sub *sub = feed->sub;
    loop_timer_stop(feed->timer);
    for (struct channel *channel = sub->channels; channel; channel = channel->next)
        if (channel->feed == feed) {
            channel->lost = channel->lost || channel->confirmed;
            channel->confirmed = false;
        }
    if (sub->cluster) {
        redis_cluster_doubt(sub->cluster);
        loop_timer_set(sub->arrange, ARRANGE_MS);
    }
    if (was_up)
        tell_state(sub, false);
}

/* The node does not serve a channel that it was asked for: the error does not say which. */
static void on_refused(struct feed *feed, const char *error)
{
    struct redis_sub *sub = feed->sub;
    const struct redis_redirect redirect = redis_redirect_read(error);
    if (redirect.kind == REDIS_REDIRECT_NONE) {
        redis_link_fail(feed->link, error);
        return;
    }
    for (struct channel *channel = sub->channels; channel; channel = channel->next)
        if (channel->feed == feed && !channel->confirmed &&
            (redirect.kind == REDIS_REDIRECT_DOWN || redirect.kind == REDIS_REDIRECT_AGAIN ||
             channel->slot == redirect.slot))
            channel_lose(channel);
    redis_cluster_doubt(sub->cluster);
    loop_timer_set(sub->arrange, ARRANGE_MS);
}

/* A message is ["message" or "smessage", channel, data]. Any other reply (a pong) only shows that Redis is alive. */
static void on_feed_reply(void *arg, const struct redis_reply *reply)
{
    struct feed *feed = arg;
    struct redis_sub *sub = feed->sub;
    feed->pinged = feed->late = false;
    if (redis_reply_type(reply) == REDIS_ERROR) {
        on_refused(feed, redis_reply_str(reply, NULL));
        return;
    }
    size_t len;
    const char *kind = redis_reply_str(redis_reply_at(reply, 0), NULL);
    const char *data = redis_reply_str(redis_reply_at(reply, 2), &len);
    if (kind && data && (strcmp(kind, "message") == 0 || strcmp(kind, "smessage") == 0)) {
        sub->opts.on_message(sub->opts.arg, data, len);
        return;
    }
    const char *name = feed->sharded ? redis_reply_str(redis_reply_at(reply, 1), NULL) : NULL;
    struct channel *channel = kind && name ? channel_find(sub, name) : NULL;
    if (!channel || channel->feed != feed)
        return;
    if (strcmp(kind, "ssubscribe") == 0) {
        channel->confirmed = true;
        channel->lost = false;
    } else if (strcmp(kind, "sunsubscribe") == 0) { /* its slot has moved */
        channel_lose(channel);
        redis_cluster_doubt(sub->cluster);
        loop_timer_set(sub->arrange, ARRANGE_MS);
    }
    judge_channels(sub);
}

static void on_feed_timer(void *arg)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    struct feed *feed = arg;
    if (feed->pinged && feed->late) {
        redis_link_fail(feed->link, "the subscription's ping was not answered in time");
        return;
    }
    feed->late =
        feed->pinged; /* fails one turn later, because the pong may be in the socket already */
    loop_timer_set(feed->timer, feed->late ? 1 : (uint64_t)feed->sub->opts.timeout_ms);
    if (feed->late)
        return;
    feed->pinged = true;
    if (!redis_link_send(feed->link, ping, sizeof(ping) - 1))
        redis_link_fail(feed->link, "out of memory");
}

static const struct redis_link_user feed_user = {
    .greet = on_feed_greet,
    .on_up = on_feed_up,
    .on_reply = on_feed_reply,
    .on_down = on_feed_down,
};

static struct feed *feed_new(struct redis_sub *sub)
{
    struct feed *feed = xcalloc(1, sizeof(*feed));
    feed->sub = sub;
    feed->timer = loop_timer_new(sub->opts.loop, on_feed_timer, feed);
    feed->next = sub->feeds;
    sub->feeds = feed;
    sub->open++;
    return feed;
}

static struct redis_link_opts link_opts(const struct redis_sub *sub, struct feed *feed)
{
    return (struct redis_link_opts){.loop = sub->opts.loop,
                                    .timeout_ms = sub->opts.timeout_ms,
                                    .user = &feed_user,
                                    .arg = feed};
}

/* Finds the feed to a primary, or opens it. */
static struct feed *feed_to(struct redis_sub *sub, const struct redis_endpoint *endpoint,
                            bool sharded)
{
    struct feed *feed = sub->feeds;
    while (feed && (feed->port != endpoint->port || strcmp(feed->host, endpoint->host) != 0))
        feed = feed->next;
    if (feed)
        return feed;
    feed = feed_new(sub);
    feed->sharded = sharded;
    (void)snprintf(feed->host, sizeof(feed->host), "%s", endpoint->host);
    feed->port = endpoint->port;
    struct redis_link_opts link = link_opts(sub, feed);
    link.endpoint = *endpoint;
    feed->link = redis_link_open(&link);
    return feed;
}

/* ---- a cluster: which channel is where ---- */

/* One feed to any primary; another one when that is not reached. */
static void arrange_ordinary(struct redis_sub *sub)
{
    struct redis_endpoint endpoint;
    if (sub->feeds && redis_link_up(sub->feeds->link))
        return;
    while (sub->feeds)
        feed_close(sub->feeds);
    if (redis_cluster_endpoint(sub->cluster, -1, &endpoint))
        (void)feed_to(sub, &endpoint, false);
}

static void arrange_sharded(struct redis_sub *sub)
{
    bool missing = false;
    for (struct channel *channel = sub->channels; channel; channel = channel->next) {
        struct redis_endpoint endpoint;
        if (!redis_cluster_endpoint(sub->cluster, (int)channel->slot, &endpoint)) {
            missing = true;
            continue;
        }
        struct feed *feed = feed_to(sub, &endpoint, true);
        if (channel->feed == feed)
            continue;
        if (channel->feed) {
            channel_send(channel, "SUNSUBSCRIBE");
            channel_lose(channel);
        }
        channel->feed = feed;
        channel_send(channel, "SSUBSCRIBE");
    }
    for (struct feed *feed = sub->feeds, *next; feed; feed = next) {
        bool used = false;
        next = feed->next;
        for (const struct channel *channel = sub->channels; channel; channel = channel->next)
            used = used || channel->feed == feed;
        if (!used)
            feed_close(feed);
    }
    judge_channels(sub);
    if (missing)
        loop_timer_set(sub->arrange, ARRANGE_MS);
}

static void arrange(void *arg)
{
    struct redis_sub *sub = arg;
    if (sub->closing || !redis_cluster_up(sub->cluster))
        return; /* runs again when a primary is reached */
    const bool sharded = redis_cluster_shards_channels(sub->cluster);
    for (struct feed *feed = sub->feeds, *next; feed; feed = next) {
        next = feed->next;
        if (feed->sharded != sharded)
            feed_close(feed);
    }
    if (sharded)
        arrange_sharded(sub);
    else
        arrange_ordinary(sub);
}

void redis_sub_add(struct redis_sub *sub, const char *name)
{
    const size_t len = strlen(name);
    if (!sub->cluster || sub->closing)
        return;
    struct channel *channel = channel_find(sub, name);
    if (channel) {
        channel->refs++;
        return;
    }
    channel = xcalloc(1, sizeof(*channel) + len + 1);
    memcpy(channel->name, name, len + 1);
    channel->refs = 1;
    channel->slot = redis_slot_of(name, len);
    channel->next = sub->channels;
    sub->channels = channel;
    table_add(&sub->table, &channel->node, table_hash(&sub->table, name, len, "", 0));
    loop_timer_set(sub->arrange, 0);
}

void redis_sub_remove(struct redis_sub *sub, const char *name)
{
    struct channel *channel = sub->cluster && !sub->closing ? channel_find(sub, name) : NULL;
    if (!channel || --channel->refs > 0)
        return;
    struct channel **at = &sub->channels;
    while (*at != channel)
        at = &(*at)->next;
    *at = channel->next;
    if (channel->feed)
        channel_send(channel, "SUNSUBSCRIBE");
    table_remove(&sub->table, &channel->node);
    free(channel);
    loop_timer_set(sub->arrange, ARRANGE_MS);
}

/* ---- life ---- */

enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret)
{
    struct redis_sub *sub = xcalloc(1, sizeof(*sub));
    sub->opts = *opts;
    sub->cluster = opts->redis ? redis_cluster_of(opts->redis) : NULL;
    sub->gone = (struct loop_task){.cb = on_sub_gone, .arg = sub};
    sub->open = 1;
    table_init(&sub->table);
    if (!sub->cluster) {
        struct feed *feed = feed_new(sub);
        const struct redis_link_opts link = link_opts(sub, feed);
        const enum status st = redis_dial(&opts->server, &link, &feed->link);
        if (st != ST_OK) {
            loop_timer_close(feed->timer);
            free(feed);
            free(sub);
            return st;
        }
    }
    sub->channel = xstrdup(opts->channel);
    if (sub->cluster) {
        sub->arrange = loop_timer_new(opts->loop, arrange, sub);
        redis_sub_add(sub, sub->channel);
        redis_cluster_watch(sub->cluster, arrange, sub);
    }
    *ret = sub;
    return ST_OK;
}

void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg)
{
    if (!sub) {
        if (cb)
            cb(arg);
        return;
    }
    sub->on_closed = cb;
    sub->on_closed_arg = arg;
    sub->closing = true;
    if (sub->cluster)
        redis_cluster_watch(sub->cluster, NULL, NULL);
    loop_timer_close(sub->arrange);
    while (sub->feeds)
        feed_close(sub->feeds);
    while (sub->channels) {
        struct channel *channel = sub->channels;
        sub->channels = channel->next;
        free(channel);
    }
    table_clear(&sub->table);
    one_gone(sub);
}
