/* SPDX-License-Identifier: MIT */
/*
 * language: the languages of the pages, and which of them a reader wants.
 *
 * Why this way: a header is a list of wishes, each with a weight; the heaviest that we speak wins,
 * the first of equals. What cannot be read is passed over: a page in English is better than an
 * error. Called by: api_page. Pure; fuzzed by test/fuzz/fuzz_language.c.
 */
#include "page/language.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *code, *name;
} languages[LANGUAGE_COUNT] = {
    [LANGUAGE_EN] = {"en", "English"},
    [LANGUAGE_KO] = {"ko", "한국어"},
    [LANGUAGE_JA] = {"ja", "日本語"},
};

const char *language_code(enum language language)
{
    return languages[language].code;
}

const char *language_name(enum language language)
{
    return languages[language].name;
}

bool language_parse(const char *tag, size_t len, enum language *ret)
{
    for (size_t i = 0; i < LANGUAGE_COUNT; i++) {
        const size_t code_len = strlen(languages[i].code);
        if (len < code_len || strncasecmp(tag, languages[i].code, code_len) != 0)
            continue;
        if (len == code_len || tag[code_len] == '-') {
            *ret = (enum language)i;
            return true;
        }
    }
    return false;
}

/* "0", "1", "0.8", "0.875": in thousandths; -1: no weight at all. */
static int parse_weight(const char *text, size_t len)
{
    if (len == 0 || len > 5 || text[0] < '0' || text[0] > '1' || (len > 1 && text[1] != '.'))
        return -1;
    int weight = (text[0] - '0') * 1000;
    int unit = 100;
    for (size_t i = 2; i < len; i++, unit /= 10) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        weight += (text[i] - '0') * unit;
    }
    return weight > 1000 ? -1 : weight;
}

static size_t trimmed(const char **text, size_t len)
{
    while (len > 0 && (**text == ' ' || **text == '\t'))
        (*text)++, len--;
    while (len > 0 && ((*text)[len - 1] == ' ' || (*text)[len - 1] == '\t'))
        len--;
    return len;
}

/* The weight of one wish, "ko-KR;q=0.8"; its tag's length in *ret_len. */
static int wish_weight(const char *wish, size_t len, size_t *ret_len)
{
    const char *semicolon = memchr(wish, ';', len);
    const char *tag = wish;
    if (semicolon == NULL) {
        *ret_len = trimmed(&tag, len);
        return 1000;
    }
    *ret_len = trimmed(&tag, (size_t)(semicolon - wish));
    const char *weight = semicolon + 1;
    len = trimmed(&weight, len - (size_t)(weight - wish));
    if (len < 2 || (weight[0] != 'q' && weight[0] != 'Q') || weight[1] != '=')
        return -1;
    return parse_weight(weight + 2, len - 2);
}

enum language language_accept(const char *header)
{
    enum language best = LANGUAGE_EN, found;
    int best_weight = 0;
    while (header != NULL && *header != '\0') {
        header += strspn(header, " \t,");
        const size_t len = strcspn(header, ",");
        size_t tag_len;
        const int weight = wish_weight(header, len, &tag_len);
        const bool any = tag_len == 1 && *header == '*';
        if (weight > best_weight && (any || language_parse(header, tag_len, &found))) {
            best = any ? LANGUAGE_EN : found;
            best_weight = weight;
        }
        header += len;
    }
    return best;
}
