/* SPDX-License-Identifier: MIT */
/*
 * config_reload: a config with new values of the settings that may change while the process runs.
 *
 * Why this way: workers read a config without locks, so it never changes; each worker is given the next one on its own
 * loop. Texts of other settings stay where they are, since drivers and pages have borrowed them.
 * Called by: main. Owns nothing.
 */
#include "base/config_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 200

/* Writes a value for a log line; a secret only as "set" or "unset". */
static void show(const struct config *config, const struct setting *setting, char out[SHOWN_MAX])
{
    const char *at = (const char *)config + setting->offset;
    const char *text = setting_is_text(setting) ? *(const char *const *)at : NULL;
    char roles_text[CONFIG_ROLES_SIZE];
    switch (KIND(setting)) {
    case KIND_INT:
        (void)snprintf(out, SHOWN_MAX, "%" PRId64, *(const int64_t *)at);
        return;
    case KIND_FLAG:
        (void)snprintf(out, SHOWN_MAX, "%d", *(const bool *)at);
        return;
    case KIND_LEVEL:
        (void)snprintf(out, SHOWN_MAX, "%s", log_level_name(config->log_level));
        return;
    case KIND_ACCESS:
        (void)snprintf(out, SHOWN_MAX, "%s", log_access_name(config->access_log));
        return;
    case KIND_ROLES:
        config_write_roles(config->roles, roles_text);
        (void)snprintf(out, SHOWN_MAX, "%s", roles_text);
        return;
    case KIND_TEXT:
        (void)snprintf(out, SHOWN_MAX, "%s", text ? text : "");
        return;
    case KIND_SECRET:
        (void)snprintf(out, SHOWN_MAX, "%s", text ? "set" : "unset");
        return;
    }
}

static bool differs(const struct config *a, const struct config *b, const struct setting *setting)
{
    const char *at_a = (const char *)a + setting->offset, *at_b = (const char *)b + setting->offset;
    const char *text_a, *text_b;
    switch (KIND(setting)) {
    case KIND_INT:
        return *(const int64_t *)at_a != *(const int64_t *)at_b;
    case KIND_FLAG:
        return *(const bool *)at_a != *(const bool *)at_b;
    case KIND_LEVEL:
        return a->log_level != b->log_level;
    case KIND_ACCESS:
        return a->access_log != b->access_log;
    case KIND_ROLES:
        return a->roles != b->roles;
    case KIND_TEXT:
    case KIND_SECRET:
        text_a = *(const char *const *)at_a;
        text_b = *(const char *const *)at_b;
        return text_a && text_b ? strcmp(text_a, text_b) != 0 : text_a != text_b;
    }
    return false;
}

/* Copies the value of one setting; a text is new. */
static void copy_value(struct config *to, const struct config *from, const struct setting *setting)
{
    const void *at = (const char *)from + setting->offset;
    switch (KIND(setting)) {
    case KIND_INT:
        memcpy((char *)to + setting->offset, at, sizeof(int64_t));
        return;
    case KIND_FLAG:
        memcpy((char *)to + setting->offset, at, sizeof(bool));
        return;
    case KIND_LEVEL:
        to->log_level = from->log_level;
        return;
    case KIND_ACCESS:
        to->access_log = from->access_log;
        return;
    case KIND_ROLES:
        to->roles = from->roles;
        return;
    case KIND_TEXT:
    case KIND_SECRET:
        *setting_text(to, setting) =
            *(const char *const *)at ? xstrdup(*(const char *const *)at) : NULL;
        return;
    }
}

/* May a reload change this setting from `current` to `wanted`? */
static bool is_live(const struct setting *setting, const struct config *current,
                    const struct config *wanted)
{
    const char *const *before = (const char *const *)((const char *)current + setting->offset);
    const char *const *after = (const char *const *)((const char *)wanted + setting->offset);
    if ((setting->kind & KIND_ROLLED) != KIND_ROLLED)
        return setting->kind & KIND_LIVE;
    return (*before != NULL) == (*after != NULL);
}

struct config *config_adopt(const struct config *current, const struct config *wanted)
{
    struct config *config = xcalloc(1, sizeof(*config));
    memcpy(config, current, offsetof(struct config, refs)); /* others count `current` meanwhile */
    config->first = config_ref(current->first ? current->first : current);
    config->refs = 1;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        char before[SHOWN_MAX], after[SHOWN_MAX];
        const bool live = is_live(setting, current, wanted);
        if (setting->kind & KIND_LIVE) /* it owns the texts of these */
            copy_value(config, live ? wanted : current, setting);
        if (!differs(current, wanted, setting))
            continue;
        show(current, setting, before);
        show(wanted, setting, after);
        if (live) /* without the limit of lines a second: each of them counts */
            log_write(LOG_LEVEL_INFO, NULL, "setting changed",
                      (struct log_field[]){LOG_TEXT("setting", setting->name),
                                           LOG_TEXT("before", before), LOG_TEXT("after", after)},
                      3);
        else
            log_write(LOG_LEVEL_WARN, NULL, "setting needs a restart",
                      (struct log_field[]){LOG_TEXT("setting", setting->name),
                                           LOG_TEXT("inForce", before), LOG_TEXT("wanted", after)},
                      3);
    }
    return config;
}
