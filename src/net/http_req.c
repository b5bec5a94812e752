/* SPDX-License-Identifier: MIT */
/*
 * http_req: the memory of a request, and the functions that read a request. "The library" is libmicrohttpd.
 *
 * Why this way: a request lives in one arena, its head included, as it came. So all of it can be read as long
 * as the request lives, also when the connection is lost. The head was split when it was judged (http_head): a look-up
 * (a join needs seven) compares lengths first.
 * Called by: httpd, and by the handlers through http_req.h. Owns: nothing beyond the request.
 */
#include "net/http_req_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "net/http_text.h"

#define REQ_SIZE   4096 /* a request with the first block of its arena */
#define BLOCK_SIZE 4096

/* ---- memory ---- */

struct http_req *req_new(struct httpd *httpd, struct MHD_Connection *connection)
{
    struct http_req *req = xrealloc(
        NULL, REQ_SIZE); /* not zeroed: that would cost more than the rest of this function */
    memset(req, 0, sizeof(*req));
    req->httpd = httpd;
    req->connection = connection;
    req->body_max = HTTP_BODY_MAX;
    req->headers_tail = &req->headers;
    req->at =
        (char *)req + (sizeof(*req) + 15) / 16 * 16; /* every allocation is aligned to 16 bytes */
    req->end = (char *)req + REQ_SIZE;
    return req;
}

void req_free(struct http_req *req)
{
    while (req->blocks) {
        struct arena_block *block = req->blocks;
        req->blocks = block->next;
        free(block);
    }
    free(req->body);
    free(req->stream.piece);
    free(req);
}

void *req_memory(struct http_req *req, size_t size)
{
    size = (size + 15) / 16 * 16;
    if (size > (size_t)(req->end - req->at)) {
        const size_t block_size = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct arena_block *block = xrealloc(NULL, sizeof(*block) + block_size);
        block->next = req->blocks;
        req->blocks = block;
        if (block_size > BLOCK_SIZE) /* this block is full; the current one may have space left */
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

char *http_req_concat(struct http_req *req, const char *first, const char *second)
{
    char *text = req_memory(req, strlen(first) + strlen(second) + 1);
    (void)stpcpy(stpcpy(text, first), second);
    return text;
}

void http_req_set_user(struct http_req *req, void *user)
{
    req->user = user;
}

void *http_req_user(const struct http_req *req)
{
    return req->user;
}

/* ---- its head ---- */

static void end_at(char *text, struct http_span span)
{
    text[span.at + span.len] = '\0';
}

void req_set_head(struct http_req *req, const struct http_head *head, const char *text,
                  unsigned refusal)
{
    const bool cut = refusal && head->scanned > head->at; /* the last line is not complete */
    char *copy = http_req_strdup(req, text, cut ? head->scanned : head->at);
    req->text = copy;
    req->method = "GET";
    req->path = "*";
    req->query = "";
    if (head->authority.len)
        req->authority = http_req_strdup(req, text + head->authority.at, head->authority.len);
    if (head->method.len) {
        req->method = copy + head->method.at;
        end_at(copy, head->method);
    }
    if (head->path.len) {
        req->path = copy + head->path.at;
        end_at(copy, head->path);
    } else if (head->authority.len) {
        req->path = "/";
    }
    if (head->query.len) {
        req->query = copy + head->query.at;
        end_at(copy, head->query);
    }
    req->length = head->length;
    req->chunked = head->chunked;
    req->expects = head->expects;
    if (refusal == 400)
        return;
    const size_t size = head->field_count * sizeof(struct http_field);
    req->fields = memcpy(req_memory(req, size), head->fields, size);
    req->field_count = head->field_count;
    for (unsigned i = 0; i < head->field_count; i++) {
        end_at(copy, head->fields[i].name);
        end_at(copy, head->fields[i].value);
    }
}

/* ---- reading it ---- */

/* Copies a text into the arena. For callers, const means that what the client sent does not change; the arena grows
 * nevertheless. */
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

bool http_req_enter(struct http_req *req, const char *prefix)
{
    const size_t len = strlen(prefix);
    if (len == 0 || req->entered)
        return !req->outside;
    req->entered = true;
    req->outside =
        strncmp(req->path, prefix, len) != 0 || (req->path[len] != '/' && req->path[len] != '\0');
    if (!req->outside)
        req->path = req->path[len] ? req->path + len : "/";
    return !req->outside;
}

static const char *value_of(const struct http_req *req, const struct http_field *field)
{
    return req->text + field->value.at;
}

static bool is_named(const struct http_req *req, const struct http_field *field, const char *name,
                     size_t len)
{
    return field->name.len == len && strncasecmp(req->text + field->name.at, name, len) == 0;
}

const char *http_req_header(const struct http_req *req, const char *name)
{
    const size_t len = strlen(name);
    for (unsigned i = 0; i < req->field_count; i++)
        if (is_named(req, &req->fields[i], name, len))
            return req->authority && strcasecmp(name, "host") == 0 ? req->authority
                                                                   : value_of(req, &req->fields[i]);
    return NULL;
}

/* All headers of that name in their order, with the separator of two characters between them; NULL when absent. Nearly
 * always there is one at most, and its value is returned as it is. */
static const char *joined(const struct http_req *req, const char *name, const char *separator)
{
    const size_t len = strlen(name);
    const char *first = NULL;
    size_t size = 0, count = 0;
    for (unsigned i = 0; i < req->field_count; i++) {
        if (!is_named(req, &req->fields[i], name, len))
            continue;
        if (count++ == 0)
            first = value_of(req, &req->fields[i]);
        size += req->fields[i].value.len + 2u;
    }
    if (count < 2)
        return first;
    char *list = req_memory((struct http_req *)req, size), *at = list;
    for (unsigned i = 0; i < req->field_count; i++) {
        if (!is_named(req, &req->fields[i], name, len))
            continue;
        if (at > list)
            at = mempcpy(at, separator, 2);
        at = mempcpy(at, value_of(req, &req->fields[i]), req->fields[i].value.len);
    }
    *at = '\0';
    return list;
}

const char *http_req_header_list(const struct http_req *req, const char *name)
{
    return joined(req, name, ", ");
}

/* A field of a urlencoded text, decoded; NULL when absent or badly escaped. */
static const char *decoded_field(const struct http_req *req, const char *form, size_t form_len,
                                 const char *name)
{
    size_t len;
    const char *raw = http_form_find(form, form_len, name, &len);
    if (!raw)
        return NULL;
    char *text = own_copy(req, raw, len);
    for (char *plus = text; (plus = strchr(plus, '+'));)
        *plus = ' ';
    char *decoded = own_copy(req, text, len);
    return http_percent_decode(text, len, decoded) ? decoded : NULL;
}

const char *http_req_query(const struct http_req *req, const char *name)
{
    return decoded_field(req, req->query, strlen(req->query), name);
}

const char *http_req_query_text(const struct http_req *req)
{
    if (req->query[0] == '\0')
        return "";
    const size_t len = strlen(req->query);
    char *text = req_memory((struct http_req *)req, len + 2);
    text[0] = '?';
    memcpy(text + 1, req->query, len + 1);
    return text;
}

const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len)
{
    const char *value = NULL;
    for (unsigned i = 0; i < req->field_count && !value; i++) /* a proxy may split the header */
        if (is_named(req, &req->fields[i], "Cookie", 6))
            value = http_cookie_find(value_of(req, &req->fields[i]), name, ret_len);
    return value ? own_copy(req, value, *ret_len) : NULL;
}

const char *http_req_cookies(const struct http_req *req)
{
    return joined(req, "Cookie", "; ");
}

const char *http_req_body(const struct http_req *req, size_t *ret_len)
{
    *ret_len = req->body_len;
    return req->body_len ? req->body : "";
}

const char *http_req_form(struct http_req *req, const char *name)
{
    size_t len;
    const char *body = http_req_body(req, &len);
    return decoded_field(req, body, len, name);
}

const char *req_address(const struct sockaddr *addr, char *out)
{
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
    return ip && inet_ntop(family, ip, out, INET6_ADDRSTRLEN) ? out : "";
}

const char *http_req_peer(const struct http_req *req)
{
    return req->peer ? req->peer : "";
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
