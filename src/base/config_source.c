/* SPDX-License-Identifier: MIT */
/*
 * config_source: where the values of settings come from: `--set`, the environment, the file.
 *
 * Why this way: a name that no setting has is most likely a misspelt one, and would leave its setting at the default without
 * a word. In the file and after --set every such name is refused. The environment has names of other programs, so
 * there it is those that begin like ours or are near to one of ours. What Kubernetes sets for its services is passed over: a
 * service called redis must not set REDIS_PORT.
 * Called by: config. Owns: the text of the file.
 */
#include "base/config_internal.h"

#include "base/ini.h"
#include "base/memory.h"
#include "base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES 65536
#define ENTRIES_MAX    256

struct entry {
    const char *name, *value;
    unsigned line;
};

struct config_inputs {
    const struct config_source *source;
    const char *file;
    bool readable_by_all, holds_secret;
    char *text;
    struct entry entries[ENTRIES_MAX];
    size_t count;
    struct config_reading *reading; /* while it is opened */
};

/* ---- names ---- */

/* Is `name` the setting, or its NAME_FILE? */
static bool is_name_of(const char *name, const struct setting *setting, bool *ret_file)
{
    const size_t len = strlen(setting->name);
    if (strncasecmp(name, setting->name, len) != 0)
        return false;
    *ret_file = strcasecmp(name + len, "_FILE") == 0;
    return name[len] == '\0' || *ret_file;
}

static const struct setting *find_setting(const char *name, bool *ret_file)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (is_name_of(name, &config_settings[i], ret_file))
            return &config_settings[i];
    }
    return NULL;
}

/* Writes the name that was most likely meant into out; "" and -1 when none is near, else how many letters are wrong. */
static int find_nearest(const char *name, char out[CONFIG_NAME_SIZE])
{
    int least = -1;
    *out = '\0';
    for (size_t i = 0; i < config_setting_count; i++) {
        for (int file = 0; file <= 1; file++) {
            char meant[CONFIG_NAME_SIZE];
            (void)snprintf(meant, sizeof(meant), "%s%s", config_settings[i].name,
                           file ? "_FILE" : "");
            const int slips = nearest_slips(name, meant);
            if (slips >= 0 && (least < 0 || slips < least)) {
                least = slips;
                memcpy(out, meant, sizeof(meant));
            }
        }
    }
    return least;
}

static void refuse_unknown(struct config_reading *reading, const char *name)
{
    char shown[CONFIG_NAME_SIZE], meant[CONFIG_NAME_SIZE];
    (void)snprintf(shown, sizeof(shown), "%s", name);
    if (find_nearest(name, meant) >= 0)
        (void)config_refuse(reading, shown, "no setting has this name: is %s meant?", meant);
    else
        (void)config_refuse(reading, shown,
                            "no setting has this name; `tiketi serve --help` lists them");
}

/* ---- the environment ---- */

/* Does it end like one of the variables that Kubernetes sets for each service ({NAME}_SERVICE_HOST,
 * {NAME}_PORT_80_TCP_ADDR …), or have such a value (tcp://10.0.0.1:80)? */
static bool is_service_variable(const char *name, const char *value)
{
    static const char *const protocols[] = {"tcp://", "udp://", "sctp://"};
    const size_t len = strlen(name);
    const char *service = strstr(name, "_SERVICE_HOST");
    if ((service && service[13] == '\0') || strstr(name, "_SERVICE_PORT"))
        return true;
    for (const char *port = strstr(name, "_PORT_"); port; port = strstr(port + 1, "_PORT_")) {
        const size_t digits = strspn(port + 6, "0123456789");
        if (digits > 0 && port[6 + digits] == '_')
            return true;
    }
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (len > 5 && strcmp(name + len - 5, "_PORT") == 0 &&
            strncmp(value, protocols[i], strlen(protocols[i])) == 0)
            return true;
    }
    return false;
}

/* The value of an environment variable; NULL when it is unset, empty, or Kubernetes'. */
static const char *environment(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody changes it */
    return value && *value != '\0' && !is_service_variable(name, value) ? value : NULL;
}

/* Variables that begin like a setting and are none: of tests and the build, and of `tiketi ctl`. */
static bool is_other_variable(const char *name)
{
    static const char *const others[] = {"TIKETI_CRASH",
                                         "TIKETI_CLOCK_SHIFT_MS",
                                         "TIKETI_CLOCK_SHIFT_FILE",
                                         "TIKETI_LUA_DIR",
                                         "TIKETI_TIMES",
                                         "TIKETI_BIN",
                                         "TIKETI_OUT",
                                         "TIKETI_SAN",
                                         "TIKETI_SEED",
                                         "TIKETI_URL",
                                         "TIKETI_TOKEN",
                                         "TIKETI_WIRE_BIN"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i]) == 0)
            return true;
    }
    return false;
}

static void check_variable(struct config_reading *reading, const char *variable)
{
    char name[CONFIG_NAME_SIZE], meant[CONFIG_NAME_SIZE];
    const char *equals = strchr(variable, '=');
    const size_t len = equals ? (size_t)(equals - variable) : sizeof(name);
    bool is_file;
    if (len >= sizeof(name) || equals[1] == '\0')
        return;
    memcpy(name, variable, len);
    name[len] = '\0';
    const struct setting *setting = find_setting(name, &is_file);
    const bool ours = strncmp(name, "QUEUE_", 6) == 0 || strncmp(name, "TIKETI_", 7) == 0;
    /* In the environment case counts: http_port is near, and not it. */
    if ((setting && strncmp(name, setting->name, strlen(setting->name)) == 0 &&
         (!is_file || strcmp(name + len - 5, "_FILE") == 0)) ||
        is_other_variable(name) || is_service_variable(name, equals + 1))
        return;
    if (ours || find_nearest(name, meant) >= 0)
        refuse_unknown(reading, name);
}

/* ---- the file ---- */

static void on_line(void *arg, const struct ini_line *line)
{
    struct config_inputs *inputs = arg;
    struct config_reading *reading = inputs->reading;
    bool is_file = false;
    char where[400];
    (void)snprintf(where, sizeof(where), " (line %u of %s)", line->number, inputs->file);
    reading->where = where;
    const struct setting *setting = line->name ? find_setting(line->name, &is_file) : NULL;
    const struct entry *before = inputs->entries;
    while (line->name && before < inputs->entries + inputs->count &&
           strcasecmp(before->name, line->name) != 0)
        before++;
    if (line->wrong)
        (void)config_refuse(reading, "--config", "%s", line->wrong);
    else if (!setting)
        refuse_unknown(reading, line->name);
    else if (before < inputs->entries + inputs->count)
        (void)config_refuse(reading, setting->name, "is set in line %u already", before->line);
    else if (inputs->count == ENTRIES_MAX)
        (void)config_refuse(reading, "--config", "the file has too many settings");
    else
        inputs->entries[inputs->count++] =
            (struct entry){.name = line->name, .value = line->value, .line = line->number};
    if (setting && !is_file && KIND(setting) == KIND_SECRET && *line->value != '\0')
        inputs->holds_secret = true;
    reading->where = "";
}

/* Reads at most `max` bytes. *ret is new, and ends with a NUL. ST_NOT_FOUND: it cannot be opened (errno). ST_INVALID: it
 * cannot be read, is longer, or contains a NUL, which would silently shorten a secret. */
static enum status read_file(const char *path, size_t max, char **ret, struct stat *ret_stat)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ST_NOT_FOUND;
    char *text = xcalloc(1, max + 1);
    const size_t len = fread(text, 1, max, file);
    const bool whole = ferror(file) == 0 && fgetc(file) == EOF && ferror(file) == 0 &&
                       strlen(text) == len && fstat(fileno(file), ret_stat) == 0;
    (void)fclose(file);
    if (!whole) {
        explicit_bzero(text, max);
        free(text);
        return ST_INVALID;
    }
    *ret = text;
    return ST_OK;
}

static void open_file(struct config_inputs *inputs)
{
    struct config_reading *reading = inputs->reading;
    const char *named = inputs->source->file;
    struct stat stat;
    inputs->file = named ? named : CONFIG_FILE;
    const enum status st = read_file(inputs->file, FILE_MAX_BYTES, &inputs->text, &stat);
    if (st == ST_NOT_FOUND && !named && errno == ENOENT) {
        inputs->file = NULL;
        return;
    }
    if (st == ST_NOT_FOUND) {
        (void)config_refuse(reading, "--config", "%s cannot be read: %s", inputs->file,
                            strerrordesc_np(errno));
        return;
    }
    if (st != ST_OK) {
        (void)config_refuse(reading, "--config",
                            "%s cannot be read, is longer than 64 KiB, or contains a NUL",
                            inputs->file);
        return;
    }
    inputs->readable_by_all = stat.st_mode & S_IROTH;
    reading->file = inputs->file;
    ini_each(inputs->text, on_line, inputs);
}

/* ---- all of them ---- */

static void check_sets(struct config_inputs *inputs, struct config_reading *reading)
{
    for (const char *const *set = inputs->source->sets; set && *set; set++) {
        char name[CONFIG_NAME_SIZE];
        bool is_file;
        const size_t len = strcspn(*set, "=");
        (void)snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 63, *set);
        const struct setting *setting = find_setting(name, &is_file);
        reading->where = " (--set)";
        if (!setting)
            refuse_unknown(reading, name);
        else if ((*set)[len] == '\0')
            (void)config_refuse(reading, setting->name, "must be followed by = and the value");
        else if (KIND(setting) == KIND_SECRET && !is_file)
            (void)config_refuse(reading, setting->name,
                                "a secret does not belong on a command line, which everybody on "
                                "this machine can read: use --set %s_FILE=FILE",
                                setting->name);
        reading->where = "";
    }
}

struct config_inputs *config_inputs_open(const struct config_source *source,
                                         struct config_reading *reading)
{
    static const struct config_source none = {.environment_only = true};
    struct config_inputs *inputs = xcalloc(1, sizeof(*inputs));
    inputs->source = source ? source : &none;
    inputs->reading = reading;
    check_sets(inputs, reading);
    for (char **variable = environ; variable && *variable; variable++)
        check_variable(reading, *variable);
    if (!inputs->source->environment_only)
        open_file(inputs);
    return inputs;
}

void config_inputs_close(struct config_inputs *inputs)
{
    if (inputs->text)
        explicit_bzero(inputs->text, FILE_MAX_BYTES);
    free(inputs->text);
    free(inputs);
}

const char *config_inputs_file(const struct config_inputs *inputs)
{
    return inputs->file;
}

bool config_inputs_exposed(const struct config_inputs *inputs)
{
    return inputs->readable_by_all && inputs->holds_secret;
}

enum place { PLACE_SET, PLACE_ENVIRONMENT, PLACE_FILE, PLACE_COUNT };

/* The value that one place has for `name`; NULL: none. *ret_line: of the file. */
static const char *look_up(const struct config_inputs *inputs, enum place place, const char *name,
                           unsigned *ret_line)
{
    const size_t len = strlen(name);
    const char *found = NULL;
    if (place == PLACE_ENVIRONMENT)
        return environment(name);
    for (const char *const *set = inputs->source->sets; place == PLACE_SET && set && *set; set++) {
        if (strncasecmp(*set, name, len) == 0 && (*set)[len] == '=')
            found = *set + len + 1; /* the last one counts */
    }
    for (size_t i = 0; place == PLACE_FILE && i < inputs->count; i++) {
        if (strcasecmp(inputs->entries[i].name, name) == 0) {
            found = inputs->entries[i].value;
            *ret_line = inputs->entries[i].line;
        }
    }
    return found && *found != '\0' ? found : NULL;
}

/* An editor, or `echo` into a secret, ends a text with a newline that nobody means. */
static void trim_newlines(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
}

enum status config_inputs_find(struct config_inputs *inputs, size_t index,
                               struct config_reading *reading, char **ret)
{
    const struct setting *setting = &config_settings[index];
    char file_name[CONFIG_NAME_SIZE];
    const char *value = NULL, *path = NULL;
    unsigned line = 0;
    struct stat stat;
    enum status st = ST_OK;
    *ret = NULL;
    (void)snprintf(file_name, sizeof(file_name), "%s_FILE", setting->name);
    for (int place = 0; place < PLACE_COUNT && !value && !path; place++) {
        value = look_up(inputs, place, setting->name, &line);
        path = look_up(inputs, place, file_name, &line);
        reading->settings[index].set = place == PLACE_SET;
    }
    if (!value && !path)
        return ST_OK;
    reading->settings[index].given = true;
    reading->settings[index].line = line;
    if (value && path)
        st = config_refuse(reading, setting->name, "set either this or %s, not both", file_name);
    else if (value && strlen(value) > CONFIG_VALUE_MAX)
        st = config_refuse(reading, setting->name, "must not be longer than 16 KiB");
    else if (path && read_file(path, CONFIG_VALUE_MAX, ret, &stat) != ST_OK)
        st = config_refuse(
            reading, setting->name,
            "the file named by %s cannot be read, is longer than 16 KiB, or contains a NUL",
            file_name);
    else if (value)
        *ret = xstrdup(value);
    if (*ret && (path || KIND(setting) == KIND_SECRET))
        trim_newlines(*ret);
    if (*ret && **ret == '\0') { /* an empty file, or newlines only: it is unset */
        free(*ret);
        *ret = NULL;
        reading->settings[index].given = false;
    }
    return st;
}
