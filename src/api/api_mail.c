/* SPDX-License-Identifier: MIT */
/*
 * api_mail: the staff route about mails that could not be delivered.
 *
 *   resend  api_staff_event -> outbox_resend (PostgreSQL, with its audit entry) -> {eventId, resent}
 *
 * Called by: api's route table. Owns nothing. The mails are sent by the processors, and `mail` of the statistics tells how
 * many are left. PostgreSQL gone: 503; a repetition sends again only what is parked by then.
 */
#include "api/api_internal.h"

#include "selling/outbox.h"

#define RESEND_LIMIT 10000 /* mails of one request */

static void resent(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    api_answer_outcome(arg, status, 200, outcome, json, len);
}

static enum status resend_fetched(struct api_call *call, const struct event *event)
{
    (void)event;
    return outbox_resend(call->api->db, call->param, RESEND_LIMIT, api_actor(call), resent, call);
}

static enum status resend_start(struct api_call *call)
{
    return api_staff_event(call, resend_fetched);
}

const struct api_route api_mail_routes[] = {
    {"POST", "/api/admin/events/{eventId}/mail/resend", AUTH_STAFF, API_OWNERS, resend_start,
     API_BODY_NONE},
    {0},
};
