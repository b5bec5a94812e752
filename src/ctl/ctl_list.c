/* SPDX-License-Identifier: MIT */
/*
 * ctl_list: reads a list to its end: an answer's `next` is the `before` of the next request.
 * Called by: ctl_event, ctl_record. Owns nothing.
 */
#include "ctl/ctl_list.h"

#include "ctl/ctl_http.h"

enum ctl_exit ctl_list(const struct ctl_run *run, const struct ctl_list *list,
                       struct json **ret_all)
{
    struct json *all = json_new_array();
    struct buf path;
    enum ctl_exit exit = CTL_OK;
    size_t count = 0;
    buf_init(&path, 4096);
    buf_printf(&path, "%s?%s", list->path, list->query ? list->query : "");
    for (bool more = true; more;) {
        struct ctl_answer answer;
        exit = ctl_http(
            run,
            &(struct ctl_request){.method = "GET", .event = list->event, .rest = buf_str(&path)},
            &answer);
        const struct json *page = json_get(answer.json, list->key);
        for (size_t i = 0; i < json_array_len(page) && (list->most == 0 || count < list->most);
             i++, count++)
            json_append(all, json_new_copy(json_array_at(page, i)));
        const char *next = json_str(answer.json, "next");
        more = exit == CTL_OK && next && (list->most == 0 || count < list->most);
        buf_reset(&path);
        buf_printf(&path, "%s?%sbefore=", list->path, list->query ? list->query : "");
        if (more)
            buf_add_query(&path, next);
        ctl_answer_clear(&answer);
    }
    buf_clear(&path);
    *ret_all = all;
    return exit;
}
