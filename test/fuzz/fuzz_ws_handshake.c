/* SPDX-License-Identifier: MIT */
/* ws_handshake: any head is accepted or refused with a status that has an answer; what is accepted has one reading. */
#include "fuzz.h"

#include "net/ws_handshake_internal.h"

#include <strings.h>

/* How many lines of the head begin with this name. */
static unsigned lines(const char *head, size_t len, const char *name)
{
    const size_t name_len = strlen(name);
    unsigned count = 0;
    for (const char *at = head, *end = head + len;
         (at = memmem(at, (size_t)(end - at), "\r\n", 2));) {
        at += 2;
        count += (size_t)(end - at) > name_len && strncasecmp(at, name, name_len) == 0 &&
                 at[name_len] == ':';
    }
    return count;
}

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        check(*text == '\t' || ((unsigned char)*text >= 0x20 && *text != 0x7f));
}

static const char *refuse(const char *method, const char *query)
{
    check(*method && !strchr(method, ' ') && !strchr(query, ' '));
    return strstr(query, "EIO=4") ? NULL : "HTTP/1.1 400 Bad Request\r\n\r\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws_head head;
    struct ws_handshake handshake = {0};
    const char *text = (const char *)data;
    const size_t len = ws_head_len(text, size);
    check(len <= size && (len == 0 || memcmp(text + len - 4, "\r\n\r\n", 4) == 0));
    if (len == 0 || len > WS_HEAD_MAX)
        return 0;
    memcpy(head.text, text, len);
    static const struct ws_endpoint endpoints[] = {
        {.path = "/ws", .subprotocol = "tiketi.v1"},
        {.path = "/socket.io/", .refuse = refuse},
    };
    const unsigned status = ws_head_check(&head, len, endpoints, 2, &handshake);
    if (status) {
        char line[16] = "HTTP/1.1 000 ";
        line[9] = (char)('0' + status / 100);
        line[10] = (char)('0' + status / 10 % 10);
        line[11] = (char)('0' + status % 10);
        check(strncmp(ws_refusal(status), line, 13) == 0);
        return 0;
    }
    const char *path = endpoints[handshake.endpoint].path;
    check(handshake.endpoint < 2 && !head.refusal);
    check(memcmp(text, "GET ", 4) == 0 && memcmp(text + 4, path, strlen(path)) == 0 &&
          !memchr(text, '\0', len));
    check(lines(text, len, "Host") == 1 && lines(text, len, "Sec-WebSocket-Key") == 1);
    check(lines(text, len, "Transfer-Encoding") == 0 && lines(text, len, "Origin") <= 1);
    check(handshake.host[0] != '\0');
    check_text(handshake.host);
    check_text(handshake.origin);
    check_text(handshake.cookie);
    check_text(handshake.forwarded_for);
    return 0;
}
