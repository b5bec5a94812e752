/* SPDX-License-Identifier: MIT */
/* calendar: an appointment as an iCalendar file (RFC 5545), which a phone adds to its calendar. */
#ifndef TIKETI_CALENDAR_H
#define TIKETI_CALENDAR_H

#include "base/buf.h"

#include <stdint.h>

struct calendar_entry { /* borrows its texts; NULL or "": left out */
    const char *uid;    /* names the appointment: a second file with it replaces the first */
    int64_t at_ms;      /* when it begins, ms since 1970; how long it lasts is not known */
    int64_t now_ms;
    const char *summary, *location, *description;
    const char *url; /* without any of ; , \ which a text of this type does not escape */
};
void calendar_write(const struct calendar_entry *entry, struct buf *out);

#endif
