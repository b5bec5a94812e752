/* SPDX-License-Identifier: MIT */
/*
 * token_keys: reads the settings that are keys into the rings that sign and verify.
 *
 *   TICKET_KEYS  kid:hex,kid:hex              tickets; derived: guests' cookies, returns from payment, sign-in, passes
 *   PASS_KEYS    PEM blocks, "derived", JWKS  passes and the codes on bought tickets
 *   JWT_SECRETS, PAYMENT_WEBHOOK_SECRETS       texts, separated by blanks or newlines
 *   JWT_JWKS_FILE                              a document of public keys
 *
 * Why this way: the first key of each list signs and all verify, so each can be rolled: added at the end, moved to the
 * front, removed. One bad entry must not stop a service that the others keep running: it is passed over, and named in the
 * log; only when none is left is the setting refused. Secrets are free texts in which nothing can be wrong but their
 * strength, so config refuses a weak one.
 * Called by: worker, main, console, crowd, provider. Owns: the keys, which are wiped when they are freed. One struct
 * token_keys belongs to one thread.
 */
#include "auth/token_internal.h"

#include "auth/mac.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKET_KEY_MIN  32
#define TICKET_KEY_MAX  64
#define TICKET_KEYS_MAX 64
#define KID_MAX         64
#define JWKS_FILE_MAX   ((size_t)256 * 1024)
#define PEM_BEGIN       "-----BEGIN "
#define PEM_END         "-----END "
#define PEM_RULE        "-----"

/* An entry of TICKET_KEYS. */
struct ticket_key {
    char kid[KID_MAX + 1];
    unsigned char bytes[TICKET_KEY_MAX];
    size_t len;
};
struct ticket_keys {
    struct ticket_key list[TICKET_KEYS_MAX];
    size_t count;
};

/* `number`: of the entry in its list, from 1. The entry itself may be a secret. */
static void pass_over(const char *setting, size_t number, const char *kid, const char *reason)
{
    log_warn("bad key passed over", LOG_TEXT("setting", setting), LOG_NUM("entry", number),
             LOG_TEXT("kid", kid), LOG_TEXT("reason", reason));
}

/* ---- TICKET_KEYS ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes `len` hex digits into `out`. Returns the number of bytes; 0: the text is not hex, has an odd length, or
 * gives more than `max` bytes. */
static size_t decode_hex(const char *text, size_t len, unsigned char *out, size_t max)
{
    if (len % 2 != 0 || len / 2 > max)
        return 0;
    for (size_t i = 0; i < len; i += 2) {
        const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i / 2] = (unsigned char)(high << 4 | low);
    }
    return len / 2;
}

/* Reads "kid:hex". Returns what is wrong; NULL: nothing. */
static const char *read_ticket_key(const char *item, size_t len, const struct ticket_keys *earlier,
                                   struct ticket_key *key)
{
    const char *colon = memchr(item, ':', len);
    const size_t name = colon ? (size_t)(colon - item) : 0;
    if (name == 0 || name > KID_MAX)
        return "it is not kid:hex";
    memcpy(key->kid, item, name);
    key->kid[name] = '\0';
    key->len = decode_hex(colon + 1, len - name - 1, key->bytes, sizeof(key->bytes));
    if (key->len < TICKET_KEY_MIN)
        return "it must have 32 to 64 bytes in hex";
    if (config_is_guessable(key->bytes, key->len))
        return "it must be random, not a few bytes repeated";
    for (size_t i = 0; i < earlier->count; i++) {
        if (earlier->list[i].len == key->len &&
            memcmp(earlier->list[i].bytes, key->bytes, key->len) == 0)
            return "an earlier entry is the same key";
    }
    return NULL;
}

/* Links that were made with another key stay valid: the database has their hashes. */
static enum status set_eticket_key(struct token_keys *keys, const struct ticket_key *key)
{
    unsigned char bytes[32];
    if (!mac_derive(key->bytes, key->len, "tiketi ticket link", bytes, sizeof(bytes)))
        return ST_INTERNAL;
    mac_write_hex(bytes, sizeof(bytes), keys->eticket_key);
    explicit_bzero(bytes, sizeof(bytes));
    return ST_OK;
}

/* Adds the key, and those that are derived from it, so that they are rolled together. */
static enum status add_ticket_key(struct token_keys *keys, const struct ticket_key *key,
                                  bool is_first)
{
    enum status st = guest_keys_add(keys->guests, key->bytes, key->len);
    if (st == ST_OK)
        st = return_keys_add(keys->returns, key->bytes, key->len);
    if (st == ST_OK)
        st = sign_in_keys_add(keys->staff, key->kid, key->bytes, key->len);
    return st == ST_OK && is_first ? set_eticket_key(keys, key) : st;
}

/* Reads the list; good entries go to `good`, too. ST_INVALID: none is good. */
static enum status add_ticket_keys(struct token_keys *keys, const char *list,
                                   struct ticket_keys *good)
{
    for (size_t number = 1; *list != '\0'; number++) {
        const size_t len = strcspn(list, ",");
        struct ticket_key key = {.len = 0};
        const char *wrong = good->count == TICKET_KEYS_MAX ? "there are too many"
                                                           : read_ticket_key(list, len, good, &key);
        /* The ring knows which ids are taken, or are none. */
        if (!wrong && jws_ring_add_hs256(keys->tickets, key.kid, key.bytes, key.len) != ST_OK)
            wrong = "its id is taken or has other characters than printable ASCII";
        if (wrong) {
            /* If there is no key behind it, it may be the key. */
            pass_over("TICKET_KEYS", number, key.len > 0 ? key.kid : NULL, wrong);
        } else {
            const enum status st = add_ticket_key(keys, &key, good->count == 0);
            if (st != ST_OK)
                return st;
            good->list[good->count++] = key;
        }
        explicit_bzero(&key, sizeof(key));
        list += len + (list[len] == ',');
    }
    return good->count > 0 ? ST_OK : ST_INVALID;
}

/* ---- PASS_KEYS ---- */

/* The end of the PEM block that begins here; NULL: it has none. */
static const char *pem_end(const char *text)
{
    const char *end = strstr(text, PEM_END);
    end = end ? strstr(end + sizeof(PEM_END) - 1, PEM_RULE) : NULL;
    return end ? end + sizeof(PEM_RULE) - 1 : NULL;
}

/* Returns what is wrong; NULL: nothing. */
static const char *add_pem(struct token_keys *keys, const char *text, size_t len)
{
    struct buf pem;
    buf_init(&pem, len + 1);
    buf_add(&pem, text, len);
    buf_add_char(&pem, '\n');
    const enum status st = jws_ring_add_es256_pem(keys->passes, NULL, buf_str(&pem));
    explicit_bzero(pem.data, pem.len);
    buf_clear(&pem);
    return st == ST_OK ? NULL
                       : "it is not the PEM of a P-256 key without a password, or an earlier entry "
                         "is the same key";
}

static const char *add_derived(struct token_keys *keys, const struct ticket_keys *tickets)
{
    for (size_t i = 0; i < tickets->count; i++) {
        if (jws_ring_add_es256_derived(keys->passes, tickets->list[i].bytes,
                                       tickets->list[i].len) != ST_OK)
            return "it occurs twice, or there are too many keys";
    }
    return NULL;
}

/* The length of the JSON object that begins here. A JWKS of ours has no braces in its texts. */
static size_t json_len(const char *text)
{
    size_t depth = 0;
    const char *at = text;
    do {
        depth += *at == '{';
        depth -= *at == '}';
        at++;
    } while (depth > 0 && *at != '\0');
    return (size_t)(at - text);
}

/* ST_INVALID: no entry is good. `openssl ecparam` writes a block of parameters before the key, which is no entry. */
static enum status add_pass_keys(struct token_keys *keys, const char *text,
                                 const struct ticket_keys *tickets)
{
    static const char parameters[] = PEM_BEGIN "EC PARAMETERS", derived[] = "derived";
    bool any = false;
    for (size_t number = 1;; number++) {
        const char *wrong = "it is neither a PEM block, nor a JWKS document, nor the word derived";
        text += strspn(text, " \t\r\n");
        if (*text == '\0')
            return any ? ST_OK : ST_INVALID;
        size_t len = strcspn(text, " \t\r\n");
        if (strncmp(text, PEM_BEGIN, sizeof(PEM_BEGIN) - 1) == 0) {
            const char *end = pem_end(text);
            len = end ? (size_t)(end - text) : strlen(text);
            if (strncmp(text, parameters, sizeof(parameters) - 1) == 0) {
                number--;
                text += len;
                continue;
            }
            wrong = add_pem(keys, text, len);
        } else if (*text == '{') {
            len = json_len(text);
            wrong = jws_ring_add_jwks(keys->passes, text, len) == ST_OK
                        ? NULL
                        : "it is no JWKS document of keys that are new";
        } else if (len == sizeof(derived) - 1 && memcmp(text, derived, len) == 0) {
            wrong = add_derived(keys, tickets);
        }
        any |= !wrong;
        if (wrong)
            pass_over("PASS_KEYS", number, NULL, wrong);
        text += len;
    }
}

/* ---- the shop's keys, and the provider's ---- */

static void add_jwt_secrets(struct token_keys *keys, const char *list)
{
    const char *secret;
    size_t len;
    for (size_t number = 1; config_next_secret(&list, &secret, &len); number++) {
        if (jws_ring_add_hs256(keys->users, NULL, secret, len) == ST_OK)
            keys->can_sign_users = true;
        else
            pass_over("JWT_SECRETS", number, NULL, "it must have at least 16 bytes");
    }
}

static void add_webhook_secrets(struct token_keys *keys, const char *list)
{
    const char *secret;
    size_t len;
    for (size_t number = 1; config_next_secret(&list, &secret, &len); number++) {
        if (webhook_keys_add(keys->webhooks, secret, len) != ST_OK)
            pass_over("PAYMENT_WEBHOOK_SECRETS", number, NULL, "there are too many");
    }
}

static enum status add_jwks_file(struct token_keys *keys, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ST_NOT_FOUND;
    char *text = xcalloc(1, JWKS_FILE_MAX);
    const size_t len = fread(text, 1, JWKS_FILE_MAX, file);
    (void)fclose(file);
    const enum status st = jws_ring_add_jwks(keys->users, text, len);
    free(text);
    return st;
}

/* ---- the whole ---- */

/* Returns what is wrong; NULL: nothing. */
static const char *read_settings(struct token_keys *keys, const struct config *config)
{
    struct ticket_keys tickets = {.count = 0};
    const char *wrong = NULL;
    if (config->jwt_secrets)
        add_jwt_secrets(keys, config->jwt_secrets);
    if (config->payment_webhook_secrets)
        add_webhook_secrets(keys, config->payment_webhook_secrets);
    if (config->jwt_secrets && !keys->can_sign_users)
        wrong = "JWT_SECRETS: must have at least 16 bytes each";
    else if (config->jwt_jwks_file && add_jwks_file(keys, config->jwt_jwks_file) != ST_OK)
        wrong = "JWT_JWKS_FILE: no readable JWKS document of P-256 or RSA keys";
    else if (config->ticket_keys && add_ticket_keys(keys, config->ticket_keys, &tickets) != ST_OK)
        wrong = "TICKET_KEYS: must be kid:hex,kid:hex with 32 to 64 random bytes each";
    else if (add_pass_keys(keys, config->pass_keys ? config->pass_keys : "derived", &tickets) !=
             ST_OK)
        wrong = "PASS_KEYS: must be PEM blocks of P-256 keys, a JWKS document, or the word derived";
    explicit_bzero(&tickets, sizeof(tickets));
    keys->own_users = jws_ring_count(keys->users);
    return wrong;
}

enum status token_keys_new(const struct config *config, struct token_keys **ret_keys, char *error,
                           size_t error_size)
{
    struct token_keys *keys = xcalloc(1, sizeof(*keys));
    keys->users = jws_ring_new();
    keys->tickets = jws_ring_new();
    keys->passes = jws_ring_new();
    keys->memo = pass_memo_new();
    keys->guests = guest_keys_new();
    keys->returns = return_keys_new();
    keys->staff = sign_in_keys_new();
    keys->webhooks = webhook_keys_new();
    keys->audience = config->jwt_audience ? xstrdup(config->jwt_audience) : NULL;
    keys->issuer = config->jwt_issuer ? xstrdup(config->jwt_issuer) : NULL;
    keys->staff_without_exp = config->staff_tokens_without_exp;
    keys->fetches = config->jwt_jwks_url;
    keys->refusal = "";
    buf_init(&keys->payload, JWS_MAX);
    const char *wrong = keys->users && keys->tickets && keys->passes && keys->staff
                            ? read_settings(keys, config)
                            : "OpenSSL: SHA-256 is not available";
    if (wrong) {
        (void)snprintf(error, error_size, "%s", wrong);
        token_keys_free(keys);
        return ST_INVALID;
    }
    *ret_keys = keys;
    return ST_OK;
}

static void clear(struct token_keys *keys)
{
    jws_ring_free(keys->users);
    jws_ring_free(keys->tickets);
    jws_ring_free(keys->passes);
    pass_memo_free(keys->memo);
    guest_keys_free(keys->guests);
    return_keys_free(keys->returns);
    sign_in_keys_free(keys->staff);
    webhook_keys_free(keys->webhooks);
    free(keys->audience);
    free(keys->issuer);
    explicit_bzero(keys->eticket_key, sizeof(keys->eticket_key));
    buf_clear(&keys->payload);
}

void token_keys_free(struct token_keys *keys)
{
    if (!keys)
        return;
    clear(keys);
    free(keys);
}

void token_keys_fetched(struct token_keys *keys, struct jws_ring *ring)
{
    jws_ring_replace(keys->users, keys->own_users, ring, 0);
}

void token_keys_replace(struct token_keys *keys, struct token_keys *fresh, bool same_source)
{
    if (same_source && fresh->fetches) {
        jws_ring_replace(fresh->users, fresh->own_users, keys->users, keys->own_users);
        keys->users = NULL;
    }
    clear(keys);
    *keys = *fresh;
    free(fresh);
}

struct sign_in_keys *token_sign_in_keys(const struct token_keys *keys)
{
    return keys->staff;
}

struct webhook_keys *token_webhook_keys(const struct token_keys *keys)
{
    return keys->webhooks;
}
