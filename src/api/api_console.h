/* SPDX-License-Identifier: MIT */
/* api_console: what the pages of the console share with signing in by an identity provider. For src/api only. */
#ifndef TIKETI_API_CONSOLE_H
#define TIKETI_API_CONSOLE_H

#include "api/api_page.h"

/* Answers with the page for those who are not signed in; `state`: of the messages signin_<state>_title and _lead.
 * `event`: a buyer's, who comes from its waiting page; NULL or "": staff. */
void api_show_sign_in(struct api_call *call, unsigned code, const char *state, const char *event);
/* Answers with the page that goes on to the console by itself. */
void api_show_signed_in(struct api_call *call);
/* Makes the session of what a link or the identity provider has said: its id, and when it expires. */
void api_begin_session(struct staff_grant *session);
/* "Organizer", in the language of the page. Lives as long as the process. */
const char *api_role_text(struct page *page, enum user_role role);

/* What the page says of the form that led here; NULL: none did. Lives as long as the request. */
const char *api_form_notice(struct page *page, bool *ret_failed);

#endif
