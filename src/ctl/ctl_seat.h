/* SPDX-License-Identifier: MIT */
/* ctl_seat: which seats the options of a command choose, and what is to become of them, as the service takes it. Pure. */
#ifndef TIKETI_CTL_SEAT_H
#define TIKETI_CTL_SEAT_H

#include "ctl/ctl_run.h"

/* "17,18" as ["17","18"]; NULL: it is no such list. Returns new. */
struct json *ctl_seat_ids(const char *text);

/* The body of POST …/seats/{verb}: {"where", …} of the options, each as far as it is given; what the verb takes is the
 * service's to judge. NULL, with a sentence in error[error_size]: no seats are chosen, or --seats is no list of ids. Returns
 * new. */
struct json *ctl_seat_body(const struct ctl_options *options, char *error, size_t error_size);

#endif
