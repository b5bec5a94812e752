/* SPDX-License-Identifier: MIT */
/*
 * http_req: the memory of a request, and everything that can be read of it.
 *
 * Why this way: a request lives in one arena, whose first block is kept for the next request. Its headers
 * are visited once, as their framing demands anyway, and remembered: a later look-up (a join needs seven)
 * compares lengths first instead of running the library's search. They point into the connection's
 * memory, which may go before the request does: so what is returned is a copy.
 * Called by: httpd, and by the handlers through http_req.h. Owns: nothing beyond the request.
 */
#include "net/http_req_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/prefetch.h"

#define VALUE_MEMORY    64   /* what the library takes for each header and query argument */
#define HEAD_MAX        8192 /* of a request */
#define ANSWER_HEAD_MAX 2048 /* of a response */
#define REQ_SIZE        4096 /* a request with the first block of its arena */
#define BLOCK_SIZE      4096
#define POOL_MAX        2048
/* What is prefetched, bytes: */
#define REQ_HOT        1280 /* of REQ_SIZE: what most requests use until they wait */
#define ANSWER_HOT     1024 /* of the arena: what most responses take */
#define CONNECTION_HOT 768  /* of the library's connection, which is larger */

/* Reused memory would hide a use after free from the sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define RECYCLE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RECYCLE 0
#endif
#endif
#ifndef RECYCLE
#define RECYCLE 1
#endif

/* ---- memory ---- */

struct http_req *req_new(struct req_pool *pool, struct httpd *httpd,
                         struct MHD_Connection *connection)
{
    struct http_req *req = pool->free;
    if (req) {
        pool->free = req->next;
        pool->count--;
        if (pool->free)
            prefetch(pool->free, REQ_HOT); /* for the next request */
    } else {
        req = xrealloc(NULL, REQ_SIZE);
    }
    memset(req, 0, sizeof(*req));
    req->httpd = httpd;
    req->connection = connection;
    req->body_max = HTTP_BODY_MAX;
    req->seen_tail = &req->seen;
    req->cookies_tail = &req->cookies;
    req->headers_tail = &req->headers;
    req->at = (char *)req + (sizeof(*req) + 15) / 16 * 16; /* everything is aligned to 16 */
    req->end = (char *)req + REQ_SIZE;
    return req;
}

void req_free(struct req_pool *pool, struct http_req *req)
{
    while (req->blocks) {
        struct arena_block *block = req->blocks;
        req->blocks = block->next;
        free(block);
    }
    free(req->body);
    free(req->stream.piece);
    if (!RECYCLE || pool->count >= POOL_MAX) {
        free(req);
        return;
    }
    req->next = pool->free;
    pool->free = req;
    pool->count++;
}

void req_pool_close(struct req_pool *pool)
{
    while (pool->free) {
        struct http_req *req = pool->free;
        pool->free = req->next;
        free(req);
    }
    pool->count = POOL_MAX;
}

void http_req_prefetch(const struct http_req *req)
{
    prefetch(req, sizeof(*req));
}

void http_req_prefetch_answer(const struct http_req *req)
{
    prefetch(req->at, ANSWER_HOT);
    if (req->connection)
        prefetch(req->connection, CONNECTION_HOT);
}

void *req_memory(struct http_req *req, size_t size)
{
    size = (size + 15) / 16 * 16;
    if (size > (size_t)(req->end - req->at)) {
        const size_t block_size = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct arena_block *block = xrealloc(NULL, sizeof(*block) + block_size);
        block->next = req->blocks;
        req->blocks = block;
        if (block_size > BLOCK_SIZE) /* used up by this; the current block may have space left */
            return block->data;
        req->at = block->data;
        req->end = block->data + block_size;
    }
    void *memory = req->at;
    req->at += size;
    return memory;
}

void *http_req_alloc(struct http_req *req, size_t size)
{
    return memset(req_memory(req, size), 0, size);
}

char *http_req_strdup(struct http_req *req, const char *text, size_t len)
{
    char *copy = req_memory(req, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void http_req_set_user(struct http_req *req, void *user)
{
    req->user = user;
}

void *http_req_user(const struct http_req *req)
{
    return req->user;
}

/* ---- reading it ---- */

/* const covers what was received; the arena may grow. */
static char *own_copy(const struct http_req *req, const char *text, size_t len)
{
    return http_req_strdup((struct http_req *)req, text, len);
}

const char *http_req_method(const struct http_req *req)
{
    return req->method;
}

const char *http_req_path(const struct http_req *req)
{
    return req->path;
}

static bool is_named(const struct header *header, const char *name, size_t len)
{
    return header->name_len == len && strncasecmp(header->name, name, len) == 0;
}

const char *http_req_header(const struct http_req *req, const char *name)
{
    const size_t len = strlen(name);
    if (!req->connection)
        return NULL;
    for (const struct header *header = req->seen; header; header = header->next)
        if (is_named(header, name, len))
            return own_copy(req, header->value, header->value_len);
    return NULL;
}

const char *http_req_header_list(const struct http_req *req, const char *name)
{
    const size_t len = strlen(name);
    size_t size = 0;
    for (const struct header *header = req->seen; req->connection && header; header = header->next)
        if (is_named(header, name, len))
            size += header->value_len + 2;
    if (size == 0)
        return NULL;
    char *list = req_memory((struct http_req *)req, size), *at = list;
    for (const struct header *header = req->seen; header; header = header->next) {
        if (!is_named(header, name, len))
            continue;
        if (at > list)
            at = mempcpy(at, ", ", 2);
        at = mempcpy(at, header->value, header->value_len);
    }
    *at = '\0';
    return list;
}

/* The library has split the query and replaced each '+' by a space; it is not percent-decoded yet. */
const char *http_req_query(const struct http_req *req, const char *name)
{
    if (!req->connection)
        return NULL;
    const char *raw = MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, name);
    if (!raw)
        return NULL;
    size_t len = strlen(raw);
    char *text = own_copy(req, raw, len);
    return http_percent_decode(raw, len, text) ? text : NULL;
}

const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len)
{
    const char *value = NULL;
    if (!req->connection)
        return NULL;
    for (const struct header *header = req->cookies; header && !value; header = header->next)
        value = http_cookie_find(header->value, name, ret_len);
    return value ? own_copy(req, value, *ret_len) : NULL;
}

const char *http_req_body(const struct http_req *req, size_t *ret_len)
{
    *ret_len = req->body_len;
    return req->body_len ? req->body : "";
}

const char *http_req_form(struct http_req *req, const char *name)
{
    size_t body_len, len;
    const char *body = http_req_body(req, &body_len);
    const char *raw = http_form_find(body, body_len, name, &len);
    if (!raw)
        return NULL;
    char *text = own_copy(req, raw, len);
    for (char *plus = text; (plus = strchr(plus, '+'));)
        *plus = ' ';
    char *decoded = own_copy(req, text, len);
    return http_percent_decode(text, len, decoded) ? decoded : NULL;
}

const char *http_req_peer(const struct http_req *req)
{
    if (req->peer || !req->connection)
        return req->peer ? req->peer : "";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *addr = info ? info->client_addr : NULL;
    int family = addr ? addr->sa_family : AF_UNSPEC;
    const void *ip = NULL;
    if (family == AF_INET) {
        ip = &((const struct sockaddr_in *)addr)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;
        ip = v6;
        if (IN6_IS_ADDR_V4MAPPED(v6)) {
            family = AF_INET;
            ip = &v6->s6_addr[12];
        }
    }
    struct http_req *own = (struct http_req *)req; /* the text is kept for the next call */
    char *text = req_memory(own, INET6_ADDRSTRLEN);
    own->peer = ip && inet_ntop(family, ip, text, INET6_ADDRSTRLEN) ? text : "";
    return own->peer;
}

/* ---- what the handler sets ---- */

void http_req_stream_body(struct http_req *req, uint64_t max, http_body_cb on_body, void *arg)
{
    req->streamed = true;
    req->body_max = max;
    req->on_body = on_body;
    req->on_body_arg = arg;
}

void http_req_add_header(struct http_req *req, const char *name, const char *value)
{
    struct header *header = req_memory(req, sizeof(*header));
    header->name = name;
    header->value = http_req_strdup(req, value, strlen(value));
    header->next = NULL;
    *req->headers_tail = header;
    req->headers_tail = &header->next;
}

/* ---- its head ---- */

struct head {
    struct http_req *req;
    struct http_framing framing;
    size_t memory; /* what the library has spent on it, beyond its text */
};

/* The library parses the first Cookie header by a grammar of its own, into copies that share the
 * connection's memory; where they do not fit, it closes the connection without a response. We parse
 * cookies ourselves, so it is given another first one. */
static const char cookie_name[] = "Cookie", no_cookie[] = "none";

void req_hide_cookies(struct MHD_Connection *connection)
{
    MHD_set_connection_value(connection, MHD_HEADER_KIND, cookie_name, no_cookie);
}

/* For a request target with a space in it, which the library accepts and cannot be told to refuse: a header
 * with an invalid name makes http_framing_ambiguous refuse the head. */
void req_mark_invalid(struct MHD_Connection *connection)
{
    MHD_set_connection_value(connection, MHD_HEADER_KIND, " ", "");
}

static enum MHD_Result on_value(void *arg, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
    struct head *head = arg;
    struct http_req *req = head->req;
    head->memory += VALUE_MEMORY;
    if (kind == MHD_COOKIE_KIND)
        head->memory += name_len + value_len + 2;
    if (kind != MHD_HEADER_KIND || value == no_cookie)
        return MHD_YES;
    struct header *header = req_memory(req, sizeof(*header));
    *header = (struct header){.name = name,
                              .name_len = name_len,
                              .value = value ? value : "",
                              .value_len = value ? value_len : 0};
    http_framing_add(&head->framing, name, name_len, header->value, header->value_len);
    struct header ***tail = is_named(header, cookie_name, sizeof(cookie_name) - 1)
                                ? &req->cookies_tail
                                : &req->seen_tail;
    **tail = header;
    *tail = &header->next;
    return MHD_YES;
}

unsigned req_read_head(struct http_req *req, struct http_framing *ret_framing)
{
    struct head head = {.req = req};
    MHD_get_connection_values_n(req->connection,
                                MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND, on_value,
                                &head);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const size_t text = info ? info->header_size : 0;
    *ret_framing = head.framing;
    if (http_framing_ambiguous(&head.framing, req->http11) ||
        (req->http11 && head.framing.hosts == 0)) /* the library would refuse this one in HTML */
        return 400;
    if (text > HEAD_MAX || text + head.memory + ANSWER_HEAD_MAX > CONNECTION_MEMORY)
        return 431;
    return 0;
}
