/* SPDX-License-Identifier: MIT */
/* return_url: lines: URLs. What is taken is safe in a header, and its normal form is taken as it is. */
#include "fuzz.h"

#include "auth/return_url.h"

static void check_url(const char *text)
{
    static const char list[] = "https://shop.example/tickets http://[::1]:8080";
    struct return_url url, again;
    struct buf other;
    if (return_url_read(text, "https://queue.example", list, &url) != RETURN_OK)
        return;
    const char *rest = url.text + url.origin_len;
    check(strlen(url.text) <= RETURN_URL_MAX && *rest == '/');
    check(!strpbrk(url.text, "\\ \"<>\r\n\t"));
    check(url.origin_len > 0 || url.text[1] != '/');
    check(url.origin_len == 0 || strncmp(url.text, "https://shop.example/tickets", 28) == 0 ||
          strncmp(url.text, "http://[::1]:8080/", 18) == 0);
    check(!memmem(rest, strcspn(rest, "?#"), "/../", 4));
    check(return_url_read(url.text, "https://queue.example", list, &again) == RETURN_OK);
    check(strcmp(url.text, again.text) == 0);
    buf_init(&other, (size_t)2 * RETURN_URL_MAX);
    return_url_with(url.text, "tiketi-handoff", "x.y", &other);
    size_t len;
    check(return_url_find(buf_str(&other), "tiketi-handoff", &len));
    buf_clear(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line;
    size_t len;
    char made[RETURN_LIST_SIZE] = "";
    while (next_line(&data, &size, &line, &len)) {
        char *text = text_new(line, len);
        check_url(text);
        const enum return_entry added = return_entry_add(made, text);
        check(strlen(made) < sizeof(made));
        check(added != RETURN_ENTRY_OK || return_entry_add(made, text) == RETURN_ENTRY_TWICE);
        free(text);
    }
    return 0;
}
