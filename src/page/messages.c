/* SPDX-License-Identifier: MIT */
/*
 * messages: the texts of the pages.
 *
 * Why this way: one flat file per language serves the page as the server writes it and the script that
 * updates it in the browser, so the two cannot differ. A plural has a key for each form that the language has
 * (ahead.one, ahead.other); ICU chooses between them here, Intl.PluralRules in the browser, by the same rules.
 * Called by: the pages of api and provider. Owns: the parsed files, which are never freed.
 */
#include "page/messages.h"

#include "base/embed.h"
#include "base/json.h"
#include "base/locale.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (256 * 1024)
#define KEY_MAX  64

static struct json *files[LANGUAGE_COUNT];

void messages_load(void)
{
    for (int i = 0; i < LANGUAGE_COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "messages/%s.json", language_code((enum language)i));
        const struct embed *file = embed_find(embed_web, embed_web_count, name);
        if (!files[i] && file)
            files[i] = json_parse(file->data, file->len, FILE_MAX, NULL);
        assert(files[i]);
    }
}

const char *message(enum language language, const char *key)
{
    return json_str(files[language], key);
}

static const char *value_of(const struct message_value *values, const char *name, size_t len)
{
    for (; values && values->name; values++) {
        if (strlen(values->name) == len && memcmp(values->name, name, len) == 0)
            return values->text;
    }
    return NULL;
}

void message_write(struct buf *out, enum language language, const char *key,
                   const struct message_value *values)
{
    const char *text = message(language, key);
    while (text && *text) {
        const size_t plain = strcspn(text, "{");
        const size_t inner = strcspn(text + plain, "}");
        buf_add(out, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        const char *value = value_of(values, text + 1, inner - 1);
        if (value)
            buf_add_str(out, value);
        text += inner + (text[inner] == '}');
    }
}

void message_count(struct buf *out, enum language language, const char *key, uint64_t n)
{
    char full[KEY_MAX];
    struct buf number;
    buf_init(&number, 32);
    locale_number(&number, language, n);
    (void)snprintf(full, sizeof(full), "%s.%s", key, locale_plural(language, n));
    if (!message(language, full))
        (void)snprintf(full, sizeof(full), "%s.other", key);
    message_write(out, language, full,
                  (const struct message_value[]){{"n", buf_str(&number)}, {NULL, NULL}});
    buf_clear(&number);
}
