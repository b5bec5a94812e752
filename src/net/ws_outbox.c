/* SPDX-License-Identifier: MIT */
/*
 * ws_outbox: the messages that wait for a slow socket.
 *
 * Why this way: an outbox is one block of memory, in which each message is stored as its length and its bytes.
 * Nearly every socket has no waiting message, and then costs only a NULL pointer.
 * Called by: ws alone. Pure. Owns: its block.
 */
#include "net/ws_outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define FIRST_CAP 512

struct ws_outbox {
    size_t head, len, cap;
    char data[];
};

bool ws_outbox_add(struct ws_outbox **outbox, const char *text, size_t len, size_t max)
{
    const uint32_t word = (uint32_t)len;
    struct ws_outbox *out = *outbox;
    const size_t used = out ? out->len - out->head : 0, need = used + sizeof(word) + len;
    if (used + len > max)
        return false;

    /* First reuse the space of messages that were removed; if that is not enough, allocate a larger block. */
    if (out && out->head > 0) {
        memmove(out->data, out->data + out->head, used);
        out->head = 0;
        out->len = used;
    }
    if (!out || need > out->cap) {
        size_t cap = out ? out->cap * 2 : FIRST_CAP;
        cap = cap > need ? cap : need;
        out = xrealloc(out, sizeof(*out) + cap);
        out->cap = cap;
        out->head = 0;
        out->len = used;
    }

    memcpy(out->data + out->len, &word, sizeof(word));
    memcpy(out->data + out->len + sizeof(word), text, len);
    out->len += sizeof(word) + len;
    *outbox = out;
    return true;
}

const char *ws_outbox_first(const struct ws_outbox *outbox, size_t *ret_len)
{
    uint32_t word;
    memcpy(&word, outbox->data + outbox->head, sizeof(word));
    *ret_len = word;
    return outbox->data + outbox->head + sizeof(word);
}

void ws_outbox_pop(struct ws_outbox **outbox)
{
    struct ws_outbox *out = *outbox;
    size_t len;
    (void)ws_outbox_first(out, &len);
    out->head += sizeof(uint32_t) + len;
    if (out->head < out->len)
        return;
    free(out);
    *outbox = NULL;
}
