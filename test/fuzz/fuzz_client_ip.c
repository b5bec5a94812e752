/* SPDX-License-Identifier: MIT */
/*
 * client_ip: lines: TRUSTED_PROXIES, the peer's address, X-Forwarded-For. Whatever they say, the result is an address or
 * the peer's own text, in canonical form, and so is what limits count of it.
 */
#include "fuzz.h"

#include "net/client_ip.h"

#include <arpa/inet.h>

static bool is_address(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *lines[3] = {NULL, NULL, NULL}, error[200] = "", out[CLIENT_IP_SIZE],
         network[CLIENT_NETWORK_SIZE];
    struct client_ip *client_ip = NULL;
    const char *line;
    size_t len;
    for (int i = 0; i < 3; i++)
        lines[i] = next_line(&data, &size, &line, &len) ? text_new(line, len) : text_new("", 0);
    if (client_ip_new(lines[0], &client_ip, error, sizeof(error)) != ST_OK) {
        check(error[0] != '\0' && !client_ip);
        check(client_ip_new("127.0.0.0/8, ::1", &client_ip, error, sizeof(error)) == ST_OK);
    }
    const char *peer = is_address(lines[1]) ? lines[1] : "127.0.0.1";
    client_ip_of(client_ip, peer, lines[2], out);
    check(is_address(out));
    if (!client_ip_trusted(client_ip, peer))
        check(strcmp(out, peer) == 0);
    client_ip_to_counted(out);
    check(is_address(out));
    client_ip_network(out, network);
    check(strchr(network, '/'));
    client_ip_network(lines[2], network);
    (void)client_ip_is_loopback(lines[1]);
    check(client_ip_same_host(lines[1], lines[2]) == client_ip_same_host(lines[2], lines[1]));
    (void)client_ip_origin_listed(lines[0], lines[2]);
    client_ip_free(client_ip);
    for (int i = 0; i < 3; i++)
        free(lines[i]);
    return 0;
}
