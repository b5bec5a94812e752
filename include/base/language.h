/* SPDX-License-Identifier: MIT */
/*
 * language: the languages of the pages, and which of them a reader prefers. Pure.
 */
#ifndef TIKETI_LANGUAGE_H
#define TIKETI_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

enum language { LANGUAGE_EN, LANGUAGE_KO, LANGUAGE_JA, LANGUAGE_COUNT };

/* "en": for <html lang> and messages/en.json. Static. */
const char *language_code(enum language language);
/* Reads the first subtag of a language tag of `len` bytes: "ko", "ko-KR" and "KO" are Korean. Returns false and
 * leaves *ret unchanged when the pages are not translated into that language. */
bool language_parse(const char *tag, size_t len, enum language *ret);
/* The preferred language of an Accept-Language header (RFC 9110 12.5.4). English when `header` is NULL, or
 * names no language of the pages. */
enum language language_accept(const char *header);

#endif
