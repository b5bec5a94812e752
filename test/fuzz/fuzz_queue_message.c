/* SPDX-License-Identifier: MIT */
/* queue_message: what comes from the channel is refused, or has an id, a kind and a payload that lie within it. */
#include "fuzz.h"

#include "queue/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct queue_message message;
    char *text = text_new(data, size);
    if (queue_message_read(text, size, &message) == ST_OK) {
        check(message.event[0] != '\0' && strlen(message.event) <= EVENT_ID_MAX);
        check(message.kind[0] != '\0' && strlen(message.kind) < sizeof(message.kind));
        check(message.payload >= text && message.payload + message.len <= text + size);
    }
    free(text);
    return 0;
}
