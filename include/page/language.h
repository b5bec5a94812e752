/* SPDX-License-Identifier: MIT */
/*
 * language: the languages of the pages, and which of them a reader wants. Pure.
 */
#ifndef TIKETI_LANGUAGE_H
#define TIKETI_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

enum language { LANGUAGE_EN, LANGUAGE_KO, LANGUAGE_JA, LANGUAGE_COUNT };

const char *
language_code(enum language language); /* "en": of <html lang> and of messages/en.json */
/* Its name in itself: "English". */
const char *language_name(enum language language);
/* "ko", "ko-KR", "KO": by its first subtag. False: none of ours; *ret is then unchanged. */
bool language_parse(const char *tag, size_t len, enum language *ret);
/* The best of an Accept-Language header (RFC 9110 12.5.4); NULL, and where nothing fits: English. */
enum language language_accept(const char *header);

#endif
