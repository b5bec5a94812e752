/* SPDX-License-Identifier: MIT */
/*
 * messages: the words of the pages.
 *
 * Why this way: one flat file per language serves both the page as it leaves here and the script
 * that keeps it up to date in the browser, so that the two cannot say different things. Plurals are
 * keys of their own (people_ahead.one, people_ahead.other), chosen here by the only rule our languages need
 * and there by Intl.PluralRules. Called by: api_page. Owns: the parsed files, for ever.
 */
#include "page/messages.h"

#include "base/embed.h"
#include "base/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX 65536
#define KEY_MAX  64

static struct json *files[LANGUAGE_COUNT];

static struct json *load_file(const char *name)
{
    for (size_t i = 0; i < embed_web_count; i++) {
        if (strcmp(embed_web[i].name, name) == 0)
            return json_parse(embed_web[i].data, embed_web[i].len, FILE_MAX, NULL);
    }
    return NULL;
}

void messages_load(void)
{
    for (int i = 0; i < LANGUAGE_COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "messages/%s.json", language_code((enum language)i));
        if (files[i] == NULL)
            files[i] = load_file(name);
        assert(files[i] != NULL);
    }
}

const char *message(enum language language, const char *key)
{
    return json_str(files[language], key);
}

static const char *value_of(const struct message_value *values, const char *name, size_t len)
{
    for (; values != NULL && values->name != NULL; values++) {
        if (strlen(values->name) == len && memcmp(values->name, name, len) == 0)
            return values->text;
    }
    return NULL;
}

void message_write(struct buf *out, enum language language, const char *key,
                   const struct message_value *values)
{
    const char *text = message(language, key);
    while (text != NULL && *text != '\0') {
        const size_t plain = strcspn(text, "{");
        const size_t inner = strcspn(text + plain, "}");
        buf_add(out, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        const char *value = value_of(values, text + 1, inner - 1);
        if (value != NULL)
            buf_add_str(out, value);
        text += inner + (text[inner] == '}');
    }
}

void message_count(struct buf *out, enum language language, const char *key, uint64_t n)
{
    char full[KEY_MAX];
    struct buf number;
    buf_init(&number, 32);
    message_number(&number, n);
    (void)snprintf(full, sizeof(full), "%s.%s", key,
                   n == 1 && language == LANGUAGE_EN ? "one" : "other");
    message_write(out, language, full,
                  (const struct message_value[]){{"n", buf_str(&number)}, {NULL, NULL}});
    buf_clear(&number);
}

void message_number(struct buf *out, uint64_t n)
{
    if (n >= 1000) {
        message_number(out, n / 1000); /* at most seven deep */
        buf_printf(out, ",%03u", (unsigned)(n % 1000));
    } else {
        buf_add_uint(out, n);
    }
}
