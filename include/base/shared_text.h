/* SPDX-License-Identifier: MIT */
/*
 * shared_text: an immutable text that many answers are sent from, with its gzip form, which is made once. Reference
 * counted, for one thread.
 */
#ifndef TIKETI_SHARED_TEXT_H
#define TIKETI_SHARED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shared_text {
    unsigned refs;
    uint64_t version; /* the owner's */
    size_t len;
    size_t gz_len;
    char *gz; /* NULL: see shared_text_compress */
    struct shared_text
        *short_form; /* the owner's: the same in fewer bytes, freed with it; NULL: none */
    bool tried;      /* compression was tried */
    char data[];     /* `len` bytes and a NUL */
};

/* Returns new, with one reference: a copy of the data. */
struct shared_text *shared_text_new(uint64_t version, const char *data, size_t len);
/* Takes a reference; returns the same text. */
struct shared_text *shared_text_ref(const struct shared_text *text);
/* Drops a reference; the last one frees the text. Takes void * to be used as a release callback. NULL is fine. */
void shared_text_unref(void *text);
/* Makes the gzip form, the first time it is called: about 2 ms for a megabyte of JSON. False: there is none, because
 * the text is short and would hardly become shorter. */
bool shared_text_compress(const struct shared_text *text);

#endif
