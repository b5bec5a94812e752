/* SPDX-License-Identifier: MIT */
/*
 * language: the languages of the pages, and which of them a reader prefers.
 *
 * Why this way: Accept-Language is a list of languages, each with a weight. The language of the pages with
 * the highest weight wins; among equals, the first. Malformed entries are skipped: a page in English is
 * better than an error.
 * Called by: api_page and provider_page. Pure; fuzzed by test/fuzz/fuzz_language.c.
 */
#include "base/language.h"

#include <string.h>
#include <strings.h>

static const char *const codes[LANGUAGE_COUNT] = {
    [LANGUAGE_EN] = "en",
    [LANGUAGE_KO] = "ko",
    [LANGUAGE_JA] = "ja",
};

const char *language_code(enum language language)
{
    return codes[language];
}

bool language_parse(const char *tag, size_t len, enum language *ret)
{
    for (size_t i = 0; i < LANGUAGE_COUNT; i++) {
        const size_t code_len = strlen(codes[i]);
        if (len < code_len || strncasecmp(tag, codes[i], code_len) != 0)
            continue;
        if (len == code_len || tag[code_len] == '-') {
            *ret = (enum language)i;
            return true;
        }
    }
    return false;
}

/* Parses a weight, such as "0", "1", "0.8" or "0.875". Returns it in thousandths; -1: malformed. */
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

/* Moves *text past leading blanks. Returns the length without leading and trailing blanks. */
static size_t trim(const char **text, size_t len)
{
    while (len > 0 && (**text == ' ' || **text == '\t'))
        (*text)++, len--;
    while (len > 0 && ((*text)[len - 1] == ' ' || (*text)[len - 1] == '\t'))
        len--;
    return len;
}

/* Reads one entry, such as "ko-KR;q=0.8". Returns its weight in thousandths (-1: malformed), and the length
 * of its tag in *ret_tag_len. */
static int entry_weight(const char *entry, size_t len, size_t *ret_tag_len)
{
    const char *semicolon = memchr(entry, ';', len);
    const char *tag = entry;
    if (!semicolon) {
        *ret_tag_len = trim(&tag, len);
        return 1000;
    }
    *ret_tag_len = trim(&tag, (size_t)(semicolon - entry));
    const char *weight = semicolon + 1;
    len = trim(&weight, len - (size_t)(weight - entry));
    if (len < 2 || (weight[0] != 'q' && weight[0] != 'Q') || weight[1] != '=')
        return -1;
    return parse_weight(weight + 2, len - 2);
}

enum language language_accept(const char *header)
{
    enum language best = LANGUAGE_EN, found;
    int best_weight = 0;
    while (header && *header) {
        header += strspn(header, " \t,");
        const size_t len = strcspn(header, ",");
        size_t tag_len;
        const int weight = entry_weight(header, len, &tag_len);
        const bool any = tag_len == 1 && *header == '*';
        if (weight > best_weight && (any || language_parse(header, tag_len, &found))) {
            best = any ? LANGUAGE_EN : found;
            best_weight = weight;
        }
        header += len;
    }
    return best;
}
