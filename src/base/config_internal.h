/* SPDX-License-Identifier: MIT */
/* config_internal: what the files of config share: the table, where values are found, and the list of what is wrong. */
#ifndef TIKETI_CONFIG_INTERNAL_H
#define TIKETI_CONFIG_INTERNAL_H

#include "base/buf.h"
#include "base/config.h"

#include <stddef.h>

#define CONFIG_VALUE_MAX 16384 /* bytes of a setting */
#define CONFIG_NAME_SIZE 64    /* bytes of NAME_FILE, with the NUL */

/* ---- the table (config.c) ---- */

enum setting_kind {
    KIND_INT,
    KIND_TEXT,
    KIND_SECRET,
    KIND_ROLES,
    KIND_LEVEL,
    KIND_ACCESS,
    KIND_FLAG
};
#define KIND_LIVE     0x80u  /* combined with a kind by `|`: a reload may change it */
#define KIND_ROLLED   0x180u /* likewise: a reload may change it, but not set or unset it */
#define KIND(setting) ((enum setting_kind)((setting)->kind & ~KIND_ROLLED))

struct setting {
    const char *name;
    unsigned kind; /* enum setting_kind */
    size_t offset; /* of its field in struct config */
    int64_t min, max;
    const char *fallback; /* the default; NULL: unset */
    const char *help;
};
extern const struct setting config_settings[];
extern const size_t config_setting_count;

static inline bool setting_is_text(const struct setting *setting)
{
    return KIND(setting) == KIND_TEXT || KIND(setting) == KIND_SECRET;
}
/* The field of a setting that is a text. */
static inline const char **setting_text(const struct config *config, const struct setting *setting)
{
    return (const char **)((char *)config + setting->offset);
}

/* ---- what is wrong ---- */

#define CONFIG_SETTINGS_MAX 192

struct config_reading {
    struct buf *problems; /* borrowed: a line for each */
    const char *where;    /* of a name that is no setting: " (line 3 of …)"; "" */
    const char *file;     /* what `line` below is of; borrowed */
    bool failed;
    struct {
        bool refused; /* it has its line of `problems` */
        bool given;   /* it is not just the default */
        bool set;     /* by --set */
        unsigned line;
    } settings[CONFIG_SETTINGS_MAX];
};

/* Adds the line `NAME: sentence`, and where the value is from, unless `name` is a setting that has a line already. Returns
 * ST_INVALID. */
enum status config_refuse(struct config_reading *reading, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool config_is_refused(const struct config_reading *reading, const char *name);
bool config_is_given(const struct config_reading *reading, const char *name);

/* ---- where values are found (config_source.c) ---- */

struct config_inputs;

/* Reads the file, if there is one, and refuses every name that no setting has. Returns new. */
struct config_inputs *config_inputs_open(const struct config_source *source,
                                         struct config_reading *reading);
void config_inputs_close(struct config_inputs *inputs); /* wipes what it read */
/* The text of the setting with this index, from the strongest place that has it, which is noted in `reading`; *ret is new,
 * and NULL where none has. ST_INVALID: it was refused. */
MUST_CHECK enum status config_inputs_find(struct config_inputs *inputs, size_t index,
                                          struct config_reading *reading, char **ret);
/* The file that was read; NULL: none. Borrowed from the source, or static. */
const char *config_inputs_file(const struct config_inputs *inputs);
/* Does the file hold a secret, and may everybody on this machine read it? */
bool config_inputs_exposed(const struct config_inputs *inputs);

/* ---- checks of the whole (config_check.c) ---- */

/* Also fills what follows from other settings. */
void config_check(struct config *config, struct config_reading *reading);
void config_check_need(const struct config *config, enum config_need need,
                       struct config_reading *reading);

#endif
