/* SPDX-License-Identifier: MIT */
/*
 * shared_text: an immutable text that many answers are sent from, with its gzip form.
 *
 * Why this way: a map of 20,000 seats is 2 MB, and whoever asks costs 30 bytes. Compressed once for each version, all
 * who accept gzip get 150 KB of the same memory. Level 1, because it is paid by the loop once a second in a rush: it
 * takes 4 ms for that map where level 6 takes 16, and the result is a quarter larger.
 * Called by: seat_map, listing, api. Owns: the texts. Needs no backend.
 */
#include "base/shared_text.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/memory.h"

#define LEVEL     1
#define GZIP      (15 + 16) /* zlib's window bits, plus 16 for the gzip format */
#define MEMORY    9
#define SHORT_MAX 512 /* bytes that fit into one packet in any case */

struct shared_text *shared_text_new(uint64_t version, const char *data, size_t len)
{
    struct shared_text *text = xrealloc(NULL, sizeof(*text) + len + 1);
    *text = (struct shared_text){.refs = 1, .version = version, .len = len};
    memcpy(text->data, data, len);
    text->data[len] = '\0';
    return text;
}

struct shared_text *shared_text_ref(const struct shared_text *text)
{
    struct shared_text *counted = (struct shared_text *)text; /* const covers the content alone */
    counted->refs++;
    return counted;
}

void shared_text_unref(void *text)
{
    struct shared_text *counted = text;
    if (!counted || --counted->refs > 0)
        return;
    free(counted->gz);
    shared_text_unref(counted->short_form);
    free(counted);
}

bool shared_text_compress(const struct shared_text *text)
{
    struct shared_text *kept = (struct shared_text *)text; /* the content stays as it is */
    z_stream stream = {0};
    if (kept->tried || kept->len <= SHORT_MAX)
        return kept->gz != NULL;
    kept->tried = true;
    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    const size_t room = deflateBound(&stream, (uLong)kept->len);
    char *gz = xrealloc(NULL, room);
    stream.next_in = (Bytef *)kept->data;
    stream.avail_in = (uInt)kept->len;
    stream.next_out = (Bytef *)gz;
    stream.avail_out = (uInt)room;
    const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    kept->gz_len = stream.total_out;
    (void)deflateEnd(&stream);
    if (!done) {
        free(gz);
        return false;
    }
    kept->gz = xrealloc(gz, kept->gz_len);
    return true;
}
