/* SPDX-License-Identifier: MIT */
/* forwarded: lines: X-Forwarded-Proto, X-Forwarded-Host, Forwarded. What is found is a part of them, and an authority. */
#include "fuzz.h"

#include "net/client_ip.h"
#include "net/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *lines[3], addresses[FORWARDED_FOR_SIZE], out[CLIENT_IP_SIZE], error[200];
    const char *line, *host = NULL;
    size_t len = 0;
    static struct client_ip *client_ip;
    if (!client_ip)
        check(client_ip_new("127.0.0.1", &client_ip, error, sizeof(error)) == ST_OK);
    for (int i = 0; i < 3; i++)
        lines[i] = next_line(&data, &size, &line, &len) ? text_new(line, len) : text_new("", 0);
    const struct forwarded headers = {.proto = lines[0], .host = lines[1], .forwarded = lines[2]};
    (void)forwarded_is_https(&headers);
    if (forwarded_host(&headers, &host, &len)) {
        const char *from =
            host >= lines[1] && host <= lines[1] + strlen(lines[1]) ? lines[1] : lines[2];
        check(len > 0 && host >= from && host + len <= from + strlen(from));
        for (size_t i = 0; i < len; i++)
            check(host[i] > ' ' && host[i] != '"' && host[i] != ',' && host[i] != '/' &&
                  host[i] != '@' && host[i] != 0x7f);
    }
    memset(addresses, 1, sizeof(addresses));
    forwarded_for(lines[2], addresses);
    check(memchr(addresses, '\0', sizeof(addresses)));
    client_ip_of(client_ip, "127.0.0.1", addresses, out);
    for (int i = 0; i < 3; i++)
        free(lines[i]);
    return 0;
}
