/* SPDX-License-Identifier: MIT */
/* api_promises: whether the log of an event keeps the promises. For api_report and api_readiness. */
#ifndef TIKETI_API_PROMISES_H
#define TIKETI_API_PROMISES_H

#include "api/api_internal.h"

/* So many logs are replayed at once in a worker; the callers count them in api->reports. */
#define API_REPORTS_MAX 2

/* promises: the member of a report, new; NULL unless status is ST_OK. */
typedef void (*api_promises_cb)(struct api_call *call, enum status status, struct json *promises);
/* Replays the log of `event`, which must live as long as the request. sold_twice: seats, as SQL has counted them. ST_OK: cb
 * runs exactly once, later. */
MUST_CHECK enum status api_promises_start(struct api_call *call, const char *event,
                                          int64_t sold_twice, api_promises_cb cb);

#endif
