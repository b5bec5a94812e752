/* SPDX-License-Identifier: MIT */
/*
 * api_gate_request: the request that a shop's proxy asks the gate about, as the proxy tells it. For the files of the gate.
 */
#ifndef TIKETI_API_GATE_REQUEST_H
#define TIKETI_API_GATE_REQUEST_H

#include "api/api_internal.h"
#include "auth/return_url.h"

/* How the proxy asks: by a GET of the gate, with the original request in headers; or, as Envoy does, by the original method
 * and with the original path behind that of the gate. */
enum gate_way { GATE_BY_HEADERS, GATE_BY_PATH };

/* The method of the original request. Borrowed from the request, or static. */
const char *gate_request_method(const struct api_call *call, enum gate_way way);
/* May a page be the answer? False: a script or a part of a page asks, or a program, which is better told by a status. */
bool gate_request_takes_page(const struct api_call *call);
/* Is it a person who opens a page of the shop? Stricter: what says nothing about itself is none. */
bool gate_request_is_visit(const struct api_call *call, enum gate_way way);
/* The hand-over token in the URL of a GET, and in *ret that URL without it, absolute. `other_scheme`: as if it were http in the
 * place of https, or the other way round, since proxies do not always say it. NULL: there is none, or the URL is not known.
 * Lives as long as the request. */
const char *gate_request_handoff(const struct api_call *call, enum gate_way way, bool other_scheme,
                                 struct return_url *ret);
/* Do cookies with COOKIE_DOMAIN reach the host that the visitor asked for? Also true without that setting. */
bool gate_request_in_domain(const struct api_call *call, enum gate_way way);
/* Appends the address of the waiting page of call->param, with the way back to the original request where it is known: a
 * path, or an absolute URL if the page is on another host. Without a way back where that would be too long, or is no path
 * that a page can be at. */
void gate_request_add_wait(const struct api_call *call, enum gate_way way, struct buf *out);
/* Is the waiting page shown in the place of the shop's page, on the host that was asked for? So a proxy of ours says. */
bool gate_request_in_place(const struct api_call *call);

#endif
