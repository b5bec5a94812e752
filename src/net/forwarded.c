/* SPDX-License-Identifier: MIT */
/*
 * forwarded: what a trusted proxy says of the request that it received.
 *
 * Why this way: a client can send these headers as well. A proxy that sets one kind often passes the other kind on as
 * the client sent it, so Forwarded is read only where no X-Forwarded-… was sent. A host goes into links and into the
 * Content-Security-Policy, so it must be an authority and nothing else.
 * Called by: api, gateway. Pure: owns nothing.
 */
#include "net/forwarded.h"

#include "net/http_text.h"

#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *text)
{
    while (is_blank(*text))
        text++;
    return text;
}

/* The first item of a comma-separated list, trimmed. */
static const char *first_item(const char *list, size_t *ret_len)
{
    const char *item = skip_blanks(list);
    size_t len = strcspn(item, ",");
    while (len > 0 && is_blank(item[len - 1]))
        len--;
    *ret_len = len;
    return item;
}

/* A parameter of a Forwarded header. */
struct parameter {
    const char *name, *value; /* the value without its quotes; not NUL-terminated */
    size_t name_len, value_len;
    bool ends_element; /* the last one of what one proxy has written */
};

/* Reads the next parameter. False at the end of the header, and where it is malformed. A quoted value with a backslash
 * is taken as it is: no address and no host has one. */
static bool next_parameter(const char **cursor, struct parameter *ret)
{
    const char *at = *cursor;
    while (is_blank(*at) || *at == ';' || *at == ',')
        at++;
    ret->name = at;
    ret->name_len = strcspn(at, "=;, \t\"");
    if (ret->name_len == 0 || at[ret->name_len] != '=')
        return false;
    at += ret->name_len + 1;
    if (*at == '"') {
        ret->value = ++at;
        while (*at != '"' && *at != '\0')
            at += *at == '\\' && at[1] != '\0' ? 2 : 1;
        if (*at == '\0')
            return false;
        ret->value_len = (size_t)(at++ - ret->value);
    } else {
        ret->value = at;
        ret->value_len = strcspn(at, ";, \t\"");
        at += ret->value_len;
    }
    at = skip_blanks(at);
    ret->ends_element = *at == ',' || *at == '\0';
    *cursor = at;
    return ret->ends_element || *at == ';';
}

/* The value of a parameter in the first element of a Forwarded header; NULL when it has none. */
static const char *first_parameter(const char *forwarded, const char *name, size_t *ret_len)
{
    struct parameter parameter;
    const size_t name_len = strlen(name);
    while (next_parameter(&forwarded, &parameter)) {
        if (parameter.name_len == name_len && strncasecmp(parameter.name, name, name_len) == 0) {
            *ret_len = parameter.value_len;
            return parameter.value;
        }
        if (parameter.ends_element)
            break;
    }
    return NULL;
}

static bool is_sent(const char *header)
{
    return header && *header != '\0';
}

/* The value that counts: of the X-Forwarded-… header, else of the parameter of Forwarded; NULL when neither was sent. */
static const char *value_of(const struct forwarded *headers, const char *list, const char *name,
                            size_t *ret_len)
{
    if (is_sent(list))
        return first_item(list, ret_len);
    if (is_sent(headers->proto) || is_sent(headers->host) || !is_sent(headers->forwarded))
        return NULL;
    return first_parameter(headers->forwarded, name, ret_len);
}

bool forwarded_is_https(const struct forwarded *headers)
{
    size_t len;
    const char *proto = value_of(headers, headers->proto, "proto", &len);
    return proto && len == 5 && strncasecmp(proto, "https", 5) == 0;
}

bool forwarded_host(const struct forwarded *headers, const char **ret, size_t *ret_len)
{
    size_t len;
    const char *host = value_of(headers, headers->host, "host", &len);
    if (!host || !http_is_authority(host, len))
        return false;
    *ret = host;
    *ret_len = len;
    return true;
}

void forwarded_for(const char *forwarded, char *out)
{
    struct parameter parameter;
    size_t len = 0;
    while (next_parameter(&forwarded, &parameter)) {
        if (parameter.name_len != 3 || strncasecmp(parameter.name, "for", 3) != 0)
            continue;
        if (parameter.value_len + 3 > FORWARDED_FOR_SIZE)
            break;
        if (len + parameter.value_len + 3 > FORWARDED_FOR_SIZE)
            len = 0;
        if (len > 0)
            len = (size_t)(stpcpy(out + len, ", ") - out);
        memcpy(out + len, parameter.value, parameter.value_len);
        len += parameter.value_len;
    }
    out[len] = '\0';
}
