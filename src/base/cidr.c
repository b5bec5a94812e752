/* SPDX-License-Identifier: MIT */
/*
 * cidr: lists of IP addresses and networks.
 *
 * Why this way: a setting is checked where all settings are, before anybody uses it, so the list is read here and not where
 * addresses are compared. An IPv4 address is kept as ::ffff:a.b.c.d, so that both families are compared by the same code.
 * Called by: config_check, client_ip. Pure.
 */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cidr_read_address(const char *text, uint8_t ret_address[CIDR_ADDRESS_BYTES], bool *ret_v4)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memcpy(ret_address, mapped, sizeof(mapped));
        memcpy(ret_address + sizeof(mapped), &v4, sizeof(v4));
        *ret_v4 = true;
        return true;
    }
    if (inet_pton(AF_INET6, text, ret_address) != 1)
        return false;
    *ret_v4 = memcmp(ret_address, mapped, sizeof(mapped)) == 0;
    return true;
}

static bool read_item(const char *text, uint8_t *address, unsigned *ret_bits)
{
    bool v4;
    char alone[CIDR_ADDRESS_SIZE];
    const size_t len = strcspn(text, "/");
    if (len >= sizeof(alone))
        return false;
    memcpy(alone, text, len);
    alone[len] = '\0';
    if (!cidr_read_address(alone, address, &v4))
        return false;
    const unsigned max = v4 ? 32 : 128;
    unsigned bits = max;
    if (text[len] == '/') {
        const char *digits = text + len + 1;
        const size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 3 || digits[count] != '\0')
            return false;
        bits = (unsigned)strtoul(digits, NULL, 10);
        if (bits > max)
            return false;
    }
    *ret_bits = v4 ? bits + 96 : bits;
    return true;
}

/* Copies the next item, without blanks around it, and moves *cursor behind it. False at the end of the list. */
static bool next_item(const char **cursor, char *item, size_t size)
{
    const char *from = *cursor + strspn(*cursor, " \t,");
    if (*from == '\0')
        return false;
    size_t len = strcspn(from, ",");
    *cursor = from + len;
    while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    if (len >= size)
        len = size - 1;
    memcpy(item, from, len);
    item[len] = '\0';
    return true;
}

enum status cidr_list_read(const char *text, struct cidr_list *ret_list, char *error,
                           size_t error_size)
{
    char item[CIDR_ADDRESS_SIZE + 8];
    const char *cursor = text ? text : "";
    ret_list->count = 0;
    while (next_item(&cursor, item, sizeof(item))) {
        const bool full = ret_list->count == CIDR_LIST_MAX;
        if (full || !read_item(item, ret_list->items[ret_list->count].address,
                               &ret_list->items[ret_list->count].bits)) {
            (void)snprintf(error, error_size, "'%s' %s", item,
                           full ? "is over the limit of 64 entries"
                                : "is not an IP address or CIDR");
            return ST_INVALID;
        }
        ret_list->count++;
    }
    return ST_OK;
}

bool cidr_list_has(const struct cidr_list *list, const uint8_t address[CIDR_ADDRESS_BYTES])
{
    for (size_t i = 0; i < list->count; i++) {
        const uint8_t *network = list->items[i].address;
        const unsigned bytes = list->items[i].bits / 8, rest = list->items[i].bits % 8;
        const uint8_t mask = (uint8_t)(0xff << (8 - rest));
        if (memcmp(network, address, bytes) == 0 &&
            (rest == 0 || (network[bytes] & mask) == (address[bytes] & mask)))
            return true;
    }
    return false;
}
