/* SPDX-License-Identifier: MIT */
/* api_in_place: the waiting page at the shop's own addresses. For api_wait. */
#ifndef TIKETI_API_IN_PLACE_H
#define TIKETI_API_IN_PLACE_H

#include "api/api_internal.h"

/* Was it a request whose body was not passed on? */
bool api_in_place_unsent(const struct api_call *call);
/* True: it is not for a page, and was answered 401. */
bool api_in_place_refuses(struct api_call *call);
/* The status that such an answer has: 503 instead of an error. Adds Retry-After, unless `retry_s` says that the answer has it. */
unsigned api_in_place_status(struct api_call *call, unsigned status, int64_t retry_s);
/* Has a browser that was asked for its cookie brought it? Then it is led back to the shop's address, once the event is known and
 * call->target is taken. False: the target is not of this origin, and nothing was answered. */
bool api_in_place_comes_back(const struct api_call *call);
bool api_in_place_lead_back(struct api_call *call);

#endif
