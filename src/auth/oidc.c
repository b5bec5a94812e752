/* SPDX-License-Identifier: MIT */
/*
 * oidc: OpenID Connect as a relying party.
 *
 *   begin   metadata -> the provider's address with state, nonce and the challenge of PKCE
 *   redeem  metadata -> token endpoint -> keys -> the ID token's signature and claims -> userinfo, if something lacks
 *
 * Why this way: an operation is a struct step that waits for what it needs; metadata and keys are fetched once for all that
 * wait. The ID token is verified with the provider's published keys although it comes straight from its token endpoint: the
 * check costs nothing, and does not depend on who stands between. Keys decide the algorithm (auth/jws.c): RS256 or ES256,
 * never the token. A signature that no known key explains may be of a new key: auth/jwks.c fetches them again. Endpoints must be https, unless the issuer itself is http (tests, a laptop).
 * Called by: api_oidc. Owns: metadata, keys, the operations under way. The provider gone: ST_UNAVAILABLE after 5 s at the
 * latest, or at once while a failure is younger than a second; what was fetched before goes on being used.
 */
#include "auth/oidc.h"

#include "auth/jwks.h"
#include "auth/jws.h"
#include "auth/mac.h"
#include "base/base64url.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUEST_MS     5000
#define METADATA_MAX   (64 * 1024)
#define ANSWER_MAX     (64 * 1024)
#define URL_MAX        1024 /* of an endpoint */
#define ADDRESS_MAX    4096
#define METADATA_MS    (60 * 60 * 1000)
#define FAILED_MS      1000
#define LEEWAY_S       60
#define OLDEST_TOKEN_S 600 /* an ID token is seconds old when we get it */

struct step;
typedef void (*step_fn)(struct step *step);

/* An operation under way. */
struct step {
    struct step *next; /* of those that wait for the metadata */
    struct jwks_wait keys_wait;
    struct oidc *oidc;
    step_fn go; /* what comes when the metadata is there; on failure: fail_step */
    oidc_url_cb on_url;
    oidc_person_cb on_person;
    void *arg;
    struct sign_in_errand errand;
    char *redirect_uri, *scope, *code;
    bool profile;
    bool keys_renewed;
    struct buf token; /* the ID token */
    char *access;     /* the access token; NULL: none */
    struct json *claims;
};

struct oidc {
    struct oidc_opts opts;
    bool plain; /* the issuer is http:// */
    bool stopped;
    /* the metadata, fetched once for all that wait for it */
    bool known, fetching;
    uint64_t fetched_ms, tried_ms; /* tried_ms 0: never */
    struct step *waiting;
    char *authorization, *token, *userinfo; /* endpoints; userinfo may be NULL */
    bool secret_in_body;                    /* client_secret_post */
    struct jwks *keys;
    struct mac *subject; /* hashes issuer and subject */
    struct buf text;     /* scratch */
};

/* ---- life ---- */

struct oidc *oidc_new(const struct oidc_opts *opts)
{
    static const char purpose[] = "tiketi oidc subject";
    struct oidc *oidc = xcalloc(1, sizeof(*oidc));
    oidc->opts = *opts;
    oidc->plain = strncasecmp(opts->issuer, "http://", 7) == 0;
    oidc->keys = jwks_new(&(struct jwks_opts){.loop = opts->loop,
                                              .http = opts->http,
                                              .name = opts->issuer,
                                              .fetched = METRIC_OIDC_KEYS_FETCHED,
                                              .failed = METRIC_OIDC_KEYS_FAILED});
    oidc->subject = mac_new(purpose, sizeof(purpose));
    buf_init(&oidc->text, ADDRESS_MAX);
    return oidc;
}

static void drop_endpoints(struct oidc *oidc)
{
    free(oidc->authorization);
    free(oidc->token);
    free(oidc->userinfo);
    oidc->authorization = oidc->token = oidc->userinfo = NULL;
}

void oidc_stop(struct oidc *oidc)
{
    if (!oidc)
        return;
    oidc->stopped = true;
    jwks_stop(oidc->keys);
}

void oidc_free(struct oidc *oidc)
{
    if (!oidc)
        return;
    drop_endpoints(oidc);
    jwks_free(oidc->keys);
    mac_free(oidc->subject);
    buf_clear(&oidc->text);
    free(oidc);
}

static void free_step(struct step *step)
{
    free(step->redirect_uri);
    free(step->scope);
    free(step->code);
    if (step->access)
        explicit_bzero(step->access, strlen(step->access));
    free(step->access);
    buf_clear(&step->token);
    json_free(step->claims);
    free(step);
}

static struct step *new_step(struct oidc *oidc, const struct oidc_visit *visit, void *arg)
{
    struct step *step = xcalloc(1, sizeof(*step));
    step->oidc = oidc;
    step->arg = arg;
    step->errand = *visit->errand;
    step->redirect_uri = xstrdup(visit->redirect_uri);
    step->scope = xstrdup(visit->scope);
    buf_init(&step->token, JWS_MAX);
    return step;
}

static void fail_step(struct step *step, enum status status)
{
    if (step->on_url)
        step->on_url(step->arg, status, NULL);
    else
        step->on_person(step->arg, status, NULL);
    free_step(step);
}

/* The provider has answered, and the answer is no. */
static void refuse_step(struct step *step, const char *why)
{
    log_warn("sign-in refused", LOG_TEXT("issuer", step->oidc->opts.issuer),
             LOG_TEXT("reason", why));
    fail_step(step, ST_UNAUTHORIZED);
}

static void log_unusable(const struct oidc *oidc, const char *what, const char *why)
{
    log_warn("identity provider not usable", LOG_TEXT("issuer", oidc->opts.issuer),
             LOG_TEXT("what", what), LOG_TEXT("reason", why));
}

/* ---- metadata ---- */

static enum status start(struct oidc *oidc, const struct http_client_request *request,
                         http_client_cb cb, void *arg)
{
    struct http_client_request whole = *request;
    if (oidc->stopped)
        return ST_UNAVAILABLE;
    whole.plain = oidc->plain;
    whole.timeout_ms = REQUEST_MS;
    return http_client_start(oidc->opts.http, &whole, cb, arg);
}

/* Notes the outcome, and lets those that have waited go on. They may wait again. */
static void metadata_done(struct oidc *oidc, const char *wrong)
{
    const uint64_t now = loop_now_ms(oidc->opts.loop);
    struct step *step = oidc->waiting;
    oidc->fetching = false;
    oidc->tried_ms = now;
    oidc->waiting = NULL;
    if (wrong) {
        log_unusable(oidc, "metadata", wrong);
    } else {
        oidc->known = true;
        oidc->fetched_ms = now;
    }
    while (step) {
        struct step *next = step->next;
        step->next = NULL;
        if (oidc->known)
            step->go(step);
        else
            fail_step(step, ST_UNAVAILABLE);
        step = next;
    }
}

/* The JSON of an answer; NULL: there is none, and *wrong says why. */
static struct json *answer_json(enum status status, const struct http_client_answer *answer,
                                size_t max, const char **wrong)
{
    *wrong = NULL;
    if (status != ST_OK)
        *wrong = answer->error[0] != '\0' ? answer->error : status_name(status);
    else if (answer->code != 200)
        *wrong = "its answer is not 200";
    struct json *json = *wrong ? NULL : json_parse(answer->body, answer->len, max, NULL);
    if (!*wrong && !json_is_object(json))
        *wrong = "its answer is not a JSON object";
    if (*wrong) {
        json_free(json);
        return NULL;
    }
    return json;
}

static bool endpoint_valid(const struct oidc *oidc, const char *url)
{
    if (!url || strlen(url) > URL_MAX)
        return false;
    for (const char *c = url; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("\"'<>\\^`{|}#", *c))
            return false;
    }
    return strncasecmp(url, "https://", 8) == 0 ||
           (oidc->plain && strncasecmp(url, "http://", 7) == 0);
}

static bool list_has(const struct json *list, const char *wanted)
{
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *text = json_str_value(json_array_at(list, i));
        if (text && strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

/* Takes the endpoints. Returns what is wrong; NULL: nothing. */
static const char *take_metadata(struct oidc *oidc, const struct json *json)
{
    const char *issuer = json_str(json, "issuer");
    const char *authorization = json_str(json, "authorization_endpoint");
    const char *token = json_str(json, "token_endpoint"), *jwks = json_str(json, "jwks_uri");
    const char *userinfo = json_str(json, "userinfo_endpoint");
    const struct json *ways = json_get(json, "token_endpoint_auth_methods_supported");
    if (!issuer || strcmp(issuer, oidc->opts.issuer) != 0)
        return "its issuer is not exactly OIDC_ISSUER";
    if (!endpoint_valid(oidc, authorization) || !endpoint_valid(oidc, token) ||
        !endpoint_valid(oidc, jwks) || (userinfo && !endpoint_valid(oidc, userinfo)))
        return "an endpoint is missing, or not https";
    drop_endpoints(oidc);
    oidc->authorization = xstrdup(authorization);
    oidc->token = xstrdup(token);
    (void)jwks_set_url(oidc->keys, jwks, oidc->plain);
    oidc->userinfo = userinfo ? xstrdup(userinfo) : NULL;
    oidc->secret_in_body =
        ways && !list_has(ways, "client_secret_basic") && list_has(ways, "client_secret_post");
    return NULL;
}

static void on_metadata(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct oidc *oidc = arg;
    const char *wrong;
    struct json *json = answer_json(status, answer, METADATA_MAX, &wrong);
    if (json)
        wrong = take_metadata(oidc, json);
    metadata_done(oidc, wrong);
    json_free(json);
}

/* Has `step` go on with step->go when the metadata is there: at once, if it is young. */
static void await_metadata(struct step *step)
{
    struct oidc *oidc = step->oidc;
    const uint64_t now = loop_now_ms(oidc->opts.loop);
    if (oidc->known && now - oidc->fetched_ms < METADATA_MS) {
        step->go(step);
        return;
    }
    if (!oidc->fetching && oidc->tried_ms > 0 && now - oidc->tried_ms < FAILED_MS) {
        if (oidc->known)
            step->go(step);
        else
            fail_step(step, ST_UNAVAILABLE);
        return;
    }
    step->next = oidc->waiting;
    oidc->waiting = step;
    if (oidc->fetching)
        return;
    buf_reset(&oidc->text);
    buf_add_str(&oidc->text, oidc->opts.issuer);
    /* Discovery 4: a slash at the end of the issuer is left out */
    if (oidc->text.data[oidc->text.len - 1] == '/')
        buf_truncate(&oidc->text, oidc->text.len - 1);
    buf_add_str(&oidc->text, "/.well-known/openid-configuration");
    oidc->fetching = true;
    const enum status st = start(
        oidc,
        &(struct http_client_request){.url = buf_str(&oidc->text), .answer_max = METADATA_MAX},
        on_metadata, oidc);
    if (st != ST_OK)
        metadata_done(oidc, status_name(st));
}

/* ---- to the provider ---- */

static void add_argument(struct buf *out, const char *name, const char *value)
{
    if (out->len > 0 && out->data[out->len - 1] != '?')
        buf_add_char(out, '&');
    buf_add_str(out, name);
    buf_add_char(out, '=');
    buf_add_query(out, value);
}

static void lead_there(struct step *step)
{
    struct oidc *oidc = step->oidc;
    struct buf *url = &oidc->text, challenge;
    unsigned char hash[MAC_LEN];
    buf_init(&challenge, 64);
    buf_reset(url);
    if (!mac_sha256(step->errand.verifier, strlen(step->errand.verifier), hash)) {
        fail_step(step, ST_INTERNAL);
        return;
    }
    base64url_encode(hash, sizeof(hash), &challenge);
    buf_add_str(url, oidc->authorization);
    if (!strchr(oidc->authorization, '?'))
        buf_add_char(url, '?');
    add_argument(url, "response_type", "code");
    add_argument(url, "client_id", oidc->opts.client_id);
    add_argument(url, "redirect_uri", step->redirect_uri);
    add_argument(url, "scope", step->scope);
    add_argument(url, "state", step->errand.state);
    add_argument(url, "nonce", step->errand.nonce);
    add_argument(url, "code_challenge", buf_str(&challenge));
    add_argument(url, "code_challenge_method", "S256");
    buf_clear(&challenge);
    if (buf_status(url) != ST_OK) {
        fail_step(step, ST_INTERNAL);
        return;
    }
    step->on_url(step->arg, ST_OK, buf_str(url));
    free_step(step);
}

void oidc_begin(struct oidc *oidc, const struct oidc_visit *visit, oidc_url_cb cb, void *arg)
{
    struct step *step = new_step(oidc, visit, arg);
    step->on_url = cb;
    step->go = lead_there;
    await_metadata(step);
}

/* ---- back from the provider ---- */

static void hand_over(struct step *step)
{
    struct oidc_person person = {.claims = step->claims};
    struct buf text;
    unsigned char hash[MAC_LEN];
    buf_init(&text, ADDRESS_MAX);
    buf_add_str(&text, step->oidc->opts.issuer);
    buf_add_char(&text, '\n');
    buf_add_str(&text, json_str(step->claims, "sub"));
    const bool ok = mac_of(step->oidc->subject, buf_str(&text), text.len, hash);
    buf_reset(&text);
    buf_add_str(&text, "o:");
    base64url_encode(hash, sizeof(hash), &text);
    if (ok && buf_status(&text) == ST_OK && text.len < sizeof(person.id)) {
        memcpy(person.id, buf_str(&text), text.len + 1);
        step->on_person(step->arg, ST_OK, &person);
        free_step(step);
    } else {
        fail_step(step, ST_INTERNAL);
    }
    buf_clear(&text);
}

static void add_claim(void *arg, const char *key, const struct json *value)
{
    struct json *claims = arg;
    struct buf text;
    if (json_has(claims, key))
        return;
    buf_init(&text, ANSWER_MAX);
    json_write(value, &text);
    /* A copy: an object of the other tree belongs to it. */
    struct json *copy = json_parse(buf_str(&text), text.len, ANSWER_MAX, NULL);
    if (copy)
        json_set(claims, key, copy);
    buf_clear(&text);
}

static void on_userinfo(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct step *step = arg;
    const char *wrong;
    struct json *json = answer_json(status, answer, ANSWER_MAX, &wrong);
    const char *sub = json_str(json, "sub");
    if (json && (!sub || strcmp(sub, json_str(step->claims, "sub")) != 0))
        wrong = "it is about another person";
    if (wrong)
        log_unusable(step->oidc, "userinfo", wrong); /* what the ID token says must do */
    else
        json_each(json, add_claim, step->claims);
    json_free(json);
    hand_over(step);
}

static void ask_userinfo(struct step *step)
{
    struct oidc *oidc = step->oidc;
    struct buf header;
    buf_init(&header, JWS_MAX + 64);
    buf_add_str(&header, "Authorization: Bearer ");
    buf_add_str(&header, step->access);
    const char *const headers[] = {buf_str(&header), "Accept: application/json", NULL};
    const enum status st =
        buf_status(&header) != ST_OK
            ? ST_TOO_LARGE
            : start(oidc,
                    &(struct http_client_request){
                        .url = oidc->userinfo, .headers = headers, .answer_max = ANSWER_MAX},
                    on_userinfo, step);
    buf_clear(&header);
    if (st != ST_OK)
        hand_over(step);
}

static bool audience_valid(const struct json *claims, const char *client)
{
    const struct json *aud = json_get(claims, "aud");
    const char *one = json_str_value(aud), *party = json_str(claims, "azp");
    if (json_has(claims, "azp") && (!party || strcmp(party, client) != 0))
        return false;
    if (one)
        return strcmp(one, client) == 0;
    return list_has(aud, client) && (json_array_len(aud) == 1 || party);
}

/* What is wrong with the claims of an ID token whose signature is valid (Core 3.1.3.7); NULL: nothing. */
static const char *wrong_claims(const struct step *step, const struct json *claims)
{
    const struct oidc_opts *opts = &step->oidc->opts;
    const char *issuer = json_str(claims, "iss"), *subject = json_str(claims, "sub");
    const char *nonce = json_str(claims, "nonce");
    const double now = (double)shared_clock_s();
    const double exp = json_double(claims, "exp", 0), iat = json_double(claims, "iat", 0);
    const double nbf = json_double(claims, "nbf", 0);
    if (!issuer || strcmp(issuer, opts->issuer) != 0)
        return "iss of the ID token is another issuer";
    if (!audience_valid(claims, opts->client_id))
        return "aud or azp of the ID token is another client";
    if (!nonce || strcmp(nonce, step->errand.nonce) != 0)
        return "nonce of the ID token is that of another visit";
    if (exp <= now - LEEWAY_S)
        return "the ID token has expired";
    if (iat > now + LEEWAY_S || iat < now - OLDEST_TOKEN_S || nbf > now + LEEWAY_S)
        return "iat or nbf of the ID token is not of now";
    if (!subject || *subject == '\0' || strlen(subject) > STAFF_SUBJECT_MAX)
        return "sub of the ID token is missing or too long";
    return NULL;
}

static void verify_token(struct step *step);

/* With younger keys or, if there are none, with those that we have. */
static void on_keys_renewed(void *arg, enum status status)
{
    (void)status;
    verify_token(arg);
}

static void verify_token(struct step *step)
{
    struct oidc *oidc = step->oidc;
    struct jws_ring *ring = jwks_ring(oidc->keys);
    struct buf payload;
    buf_init(&payload, JWS_MAX);
    const bool ok =
        ring && jws_verify(ring, buf_str(&step->token), step->token.len, &payload) == ST_OK;
    if (!ok && !step->keys_renewed) {
        buf_clear(&payload);
        step->keys_renewed = true;
        jwks_renew(oidc->keys, &step->keys_wait, on_keys_renewed, step);
        return;
    }
    if (ok)
        step->claims = json_parse(buf_str(&payload), payload.len, JWS_MAX, NULL);
    buf_clear(&payload);
    const char *wrong = !ok ? "no key of the provider has signed the ID token"
                        : !json_is_object(step->claims) ? "the ID token is not a JSON object"
                                                        : wrong_claims(step, step->claims);
    if (wrong)
        refuse_step(step, wrong);
    else if (step->profile && oidc->userinfo && step->access)
        ask_userinfo(step);
    else
        hand_over(step);
}

static void on_keys(void *arg, enum status status)
{
    if (status == ST_OK)
        verify_token(arg);
    else
        fail_step(arg, ST_UNAVAILABLE);
}

static void on_token(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct step *step = arg;
    struct oidc *oidc = step->oidc;
    const char *wrong;
    if (status == ST_OK && answer->code >= 400 && answer->code < 500) {
        struct json *problem = json_parse(answer->body, answer->len, ANSWER_MAX, NULL);
        const char *error = json_str(problem, "error");
        char why[96];
        (void)snprintf(why, sizeof(why), "the provider refuses the code: %.48s",
                       error && strspn(error, "abcdefghijklmnopqrstuvwxyz_") == strlen(error)
                           ? error
                           : "unknown");
        json_free(problem);
        refuse_step(step, why);
        return;
    }
    struct json *json = answer_json(status, answer, ANSWER_MAX, &wrong);
    if (!json) {
        log_unusable(oidc, "token", wrong);
        fail_step(step, ST_UNAVAILABLE);
        return;
    }
    const char *id = json_str(json, "id_token"), *access = json_str(json, "access_token");
    if (id)
        buf_add_str(&step->token, id);
    if (access && access[strspn(access, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789-._~+/=")] == '\0')
        step->access = xstrdup(access);
    json_free(json);
    if (!id || buf_status(&step->token) != ST_OK) {
        refuse_step(step, "the answer has no ID token, or one over 8 KiB");
        return;
    }
    jwks_fresh(oidc->keys, &step->keys_wait, on_keys, step);
}

/* Appends "Authorization: Basic …" (RFC 6749 2.3.1). */
static void add_basic(const struct oidc *oidc, struct buf *out)
{
    struct buf pair;
    buf_init(&pair, ADDRESS_MAX);
    buf_add_query(&pair, oidc->opts.client_id);
    buf_add_char(&pair, ':');
    buf_add_query(&pair, oidc->opts.client_secret);
    buf_add_str(out, "Authorization: Basic ");
    const size_t from = out->len;
    base64url_encode(buf_str(&pair), pair.len, out);
    buf_clear(&pair);
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '-' || out->data[i] == '_')
            out->data[i] = out->data[i] == '-' ? '+' : '/';
    }
    while ((out->len - from) % 4 != 0 && !out->failed)
        buf_add_char(out, '=');
}

static void redeem_code(struct step *step)
{
    struct oidc *oidc = step->oidc;
    const bool in_body = !oidc->opts.client_secret || oidc->secret_in_body;
    const char *headers[4] = {"Content-Type: application/x-www-form-urlencoded",
                              "Accept: application/json"};
    struct buf body, basic;
    buf_init(&body, 4 * ADDRESS_MAX);
    buf_init(&basic, 2 * ADDRESS_MAX);
    add_argument(&body, "grant_type", "authorization_code");
    add_argument(&body, "code", step->code);
    add_argument(&body, "redirect_uri", step->redirect_uri);
    add_argument(&body, "code_verifier", step->errand.verifier);
    if (in_body)
        add_argument(&body, "client_id", oidc->opts.client_id);
    if (in_body && oidc->opts.client_secret)
        add_argument(&body, "client_secret", oidc->opts.client_secret);
    if (!in_body) {
        add_basic(oidc, &basic);
        headers[2] = buf_str(&basic);
    }
    enum status st = body.failed || basic.failed ? ST_TOO_LARGE : ST_OK;
    if (st == ST_OK)
        st = start(oidc,
                   &(struct http_client_request){.url = oidc->token,
                                                 .headers = headers,
                                                 .body = buf_str(&body),
                                                 .body_len = body.len,
                                                 .answer_max = ANSWER_MAX},
                   on_token, step);
    if (body.data)
        explicit_bzero(body.data, body.len);
    if (basic.data)
        explicit_bzero(basic.data, basic.len);
    buf_clear(&body);
    buf_clear(&basic);
    if (st != ST_OK) {
        log_unusable(oidc, "token", status_name(st));
        fail_step(step, ST_UNAVAILABLE);
    }
}

void oidc_redeem(struct oidc *oidc, const struct oidc_visit *visit, const char *code, bool profile,
                 oidc_person_cb cb, void *arg)
{
    struct step *step = new_step(oidc, visit, arg);
    step->on_person = cb;
    step->code = xstrdup(code);
    step->profile = profile;
    step->go = redeem_code;
    await_metadata(step);
}
