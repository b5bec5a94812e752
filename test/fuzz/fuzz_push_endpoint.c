/* SPDX-License-Identifier: MIT */
/* push_endpoint: lines: addresses. What is taken is https, printable, with a host that is no private address. */
#include "fuzz.h"

#include "net/address.h"
#include "net/push_endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line, *reason;
    char error[200];
    size_t len;
    static struct client_ip *allowed;
    if (!allowed)
        check(client_ip_new("127.0.0.1", &allowed, error, sizeof(error)) == ST_OK);
    while (next_line(&data, &size, &line, &len)) {
        char *text = text_new(line, len);
        const size_t origin = push_endpoint_check(text, allowed, &reason);
        check(reason);
        if (origin > 0) {
            check(strncmp(text, "https://", 8) == 0 && origin > 8 && origin <= strlen(text));
            check(text[origin] == '\0' || text[origin] == '/' || text[origin] == '?');
            check(strlen(text) <= PUSH_ENDPOINT_MAX);
            check(!memchr(text, '@', origin) && !strpbrk(text, " \\#\"<>\r\n\t"));
            /* A host of digits and dots is an address, and then it is one that may be reached. */
            const size_t host_len = strcspn(text + 8, ":/?");
            if (text[8] != '[' && strspn(text + 8, "0123456789.") >= host_len) {
                char host[CLIENT_IP_SIZE];
                check(host_len < sizeof(host));
                memcpy(host, text + 8, host_len);
                host[host_len] = '\0';
                check(address_is_public(host) || client_ip_trusted(allowed, host));
            }
        }
        free(text);
    }
    return 0;
}
