/* SPDX-License-Identifier: MIT */
/* cookie_jar: what it finds in any Cookie header are parts of that header; what is left after a trim is no more than before. */
#include "fuzz.h"

#include "auth/cookie_jar.h"

static const char *sent;
static size_t sent_len;

static void check_part(const char *text, size_t len)
{
    check(text >= sent && text + len <= sent + sent_len && !memchr(text, '\0', len));
}

static void check_cookie(const struct cookie *cookie)
{
    check_part(cookie->name, cookie->name_len);
    check_part(cookie->event, cookie->event_len);
    check_part(cookie->value, cookie->len);
    check(cookie->name_len + cookie->len <= sent_len);
}

static void drop(void *arg, const struct cookie *cookie)
{
    unsigned *dropped = arg;
    check_cookie(cookie);
    check(cookie->kind != COOKIE_GUEST);
    ++*dropped;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cookie cookie, list[COOKIE_TRIES];
    char *text = text_new(data, size);
    unsigned count = 0;
    sent = text;
    sent_len = strlen(text);
    for (const char *at = text; cookie_jar_next(&at, &cookie); count++) {
        check(count <= sent_len);
        check_cookie(&cookie);
    }
    for (int https = 0; https < 2; https++) {
        const struct cookie_jar jar = cookie_jar_of(text, https, NULL);
        unsigned dropped = 0;
        for (int kind = COOKIE_GUEST; kind <= COOKIE_PASS; kind++) {
            const size_t found =
                cookie_jar_find(&jar, (enum cookie_kind)kind, kind ? "e1" : "", list);
            check(found <= COOKIE_TRIES && found <= count);
            for (size_t i = 0; i < found; i++) {
                check_cookie(&list[i]);
                check((int)list[i].kind == kind);
            }
        }
        cookie_jar_trim(&jar, "e1", 200, 8, drop, &dropped);
        check(dropped <= 8 && dropped <= count);
    }
    free(text);
    return 0;
}
