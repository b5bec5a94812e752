/* SPDX-License-Identifier: MIT */
/*
 * ws_outbox: messages waiting for a slow socket.
 *
 * Why this way: one block of memory, each message as its length and its bytes. Nearly every socket has
 * none; then it costs a pointer.
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

/* Makes space for `need` bytes in all; the `used` ones are moved to the start. */
static struct ws_outbox *outbox_fit(struct ws_outbox *out, size_t used, size_t need)
{
    if (out && out->head > 0) {
        memmove(out->data, out->data + out->head, used);
        out->head = 0;
        out->len = used;
    }
    if (out && need <= out->cap)
        return out;
    size_t cap = out ? out->cap * 2 : FIRST_CAP;
    cap = cap > need ? cap : need;
    out = xrealloc(out, sizeof(*out) + cap);
    out->cap = cap;
    out->head = 0;
    out->len = used;
    return out;
}

bool ws_outbox_add(struct ws_outbox **outbox, const char *text, size_t len, size_t max)
{
    const uint32_t word = (uint32_t)len;
    const size_t used = *outbox ? (*outbox)->len - (*outbox)->head : 0;
    if (used + len > max)
        return false;
    struct ws_outbox *out = outbox_fit(*outbox, used, used + sizeof(word) + len);
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

void ws_outbox_drop(struct ws_outbox **outbox)
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
