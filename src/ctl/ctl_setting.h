/* SPDX-License-Identifier: MIT */
/* ctl_setting: settings as they are typed, such as interval=5s, as the JSON that the service takes. Pure. */
#ifndef TIKETI_CTL_SETTING_H
#define TIKETI_CTL_SETTING_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

/* Adds "name=value" to the object. Names are those of the API; besides, "interval" stands for intervalMs and takes a
 * duration (5s, 250ms), and so do idleTimeout, sessionLimit, hold, claim, silent and visit; "outflow" is outflowPerMinute;
 * surge=5000:2000,20000:4000 are rules, surge=none is none; "branding.primary" is a member of an object. Values are
 * numbers, true, false, null or texts. False, with a sentence in error[error_size]: it is no setting. */
bool ctl_setting_add(struct json *object, const char *text, char *error, size_t error_size);

/* The names that completion offers. NULL ends the list. Static. */
extern const char *const ctl_setting_names[];

#endif
