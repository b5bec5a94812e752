/* SPDX-License-Identifier: MIT */
/*
 * ctl_login: remembers a service and a token in $XDG_CONFIG_HOME/tiketi/ctl.json (else ~/.config/tiketi), which only its
 * owner may read.
 *
 * Why this way: a token on the command line would be visible to every user of the machine, and kept in the shell's
 * history. So `login` reads it from the standard input; on a terminal, without showing it.
 * Called by: ctl. Owns: the file; texts that live as long as the process.
 */
#include "ctl/ctl_login.h"

#include "base/base64url.h"
#include "base/clock.h"
#include "ctl/ctl_http.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define FILE_MAX_BYTES 16384
#define TOKEN_MAX      8000

static char stored_url[1024], stored_token[TOKEN_MAX + 1];

/* A variable of the environment; NULL: it is not set. */
static const char *variable(const char *name)
{
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

/* ---- the file ---- */

/* The folder into out[PATH_MAX]. False: neither XDG_CONFIG_HOME nor HOME is set. */
static bool folder_path(char *out)
{
    const char *base = variable("XDG_CONFIG_HOME"), *home = variable("HOME");
    const char *below = "tiketi";
    if (!base || base[0] != '/') {
        base = home;
        below = ".config/tiketi";
    }
    return base && base[0] == '/' && snprintf(out, PATH_MAX, "%s/%s", base, below) < PATH_MAX - 16;
}

static bool file_path(char *out)
{
    if (!folder_path(out))
        return false;
    const size_t len = strlen(out);
    (void)snprintf(out + len, PATH_MAX - len, "/ctl.json");
    return true;
}

/* Reads the file into the stored texts. CTL_OK also when there is none. */
static enum ctl_exit read_file(const struct ctl_run *run)
{
    char path[PATH_MAX], text[FILE_MAX_BYTES];
    struct stat info;
    FILE *file = file_path(path) ? fopen(path, "re") : NULL;
    if (!file)
        return CTL_OK;
    const bool readable = fstat(fileno(file), &info) == 0 && (info.st_mode & 077) == 0;
    const size_t len = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    if (!readable)
        return (enum ctl_exit)ctl_fail(
            run, CTL_NOT_ALLOWED, "%s can be read by others: chmod 600 it, or log in again", path);
    struct json *body = json_parse(text, len, sizeof(text), NULL);
    const char *url = json_str(body, "url"), *token = json_str(body, "token");
    if (url && token) {
        (void)snprintf(stored_url, sizeof(stored_url), "%s", url);
        (void)snprintf(stored_token, sizeof(stored_token), "%s", token);
    }
    json_free(body);
    return CTL_OK;
}

static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

/* Replaces the file in one step, so that it is never half written, and never readable for others. */
static bool write_file(const char *url, const char *token)
{
    char path[PATH_MAX], fresh[PATH_MAX + 8];
    struct buf text;
    if (!file_path(path) || !make_folders(path))
        return false;
    struct json *body = json_new_object();
    json_set_str(body, "url", url);
    json_set_str(body, "token", token);
    buf_init(&text, FILE_MAX_BYTES);
    json_write(body, &text);
    json_free(body);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh);
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = fd >= 0 && buf_status(&text) == ST_OK &&
                   write(fd, buf_str(&text), text.len) == (ssize_t)text.len;
    if (fd >= 0 && close(fd) != 0)
        written = false;
    buf_clear(&text);
    return written && rename(fresh, path) == 0;
}

/* ---- which service ---- */

/* Copies the URL without the slashes at its end. False: it is none. */
static bool take_url(const char *text, char *out, size_t size)
{
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return false;
    if (strpbrk(text, "?# \t\r\n") || snprintf(out, size, "%s", text) >= (int)size)
        return false;
    for (size_t len = strlen(out); len > 8 && out[len - 1] == '/'; len--)
        out[len - 1] = '\0';
    return true;
}

enum ctl_exit ctl_login_read(struct ctl_run *run)
{
    static char given[1024];
    const char *url = run->options.url ? run->options.url : variable("TIKETI_URL");
    const char *token = variable("TIKETI_TOKEN");
    if (!url || !token) {
        const enum ctl_exit exit = read_file(run);
        if (exit != CTL_OK)
            return exit;
    }
    if (url && !take_url(url, given, sizeof(given)))
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s must be http://host or https://host",
                                       run->options.url ? "--url" : "TIKETI_URL");
    run->url = url ? given : stored_url;
    /* A token is shown to no other service than the one that it was stored for. */
    const bool same = !url || strcmp(given, stored_url) == 0;
    run->token = token ? token : same ? stored_token : "";
    if (*run->url == '\0')
        return (enum ctl_exit)ctl_fail(
            run, CTL_USAGE, "no service is known: `tiketi ctl login URL`, or set TIKETI_URL");
    if (*run->token == '\0')
        return (enum ctl_exit)ctl_fail(
            run, CTL_USAGE, "no token for %s is known: `tiketi ctl login %s`, or set TIKETI_TOKEN",
            run->url, run->url);
    return CTL_OK;
}

/* ---- login, logout ---- */

/* Reads a line of at most `size` - 1 bytes from the standard input, without showing it on a terminal. */
static bool read_token(char *out, size_t size)
{
    struct termios shown, hidden;
    const bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)fputs("Token (from `tiketi token --role organizer --sub NAME`): ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    const bool read = fgets(out, (int)size, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        (void)fputc('\n', stderr);
    }
    if (!read)
        return false;
    const size_t len = strcspn(out, " \t\r\n");
    const bool whole = out[len] != '\0'; /* the line end is there: nothing was cut off */
    out[len] = '\0';
    return len > 0 && (whole || feof(stdin));
}

/* Tells who the token says its bearer is. It was not verified here: the service has accepted it. */
static void tell_bearer(const char *url, const char *token)
{
    const char *dot = strchr(token, '.'), *end = dot ? strchr(dot + 1, '.') : NULL;
    struct buf payload;
    char until[CLOCK_RFC3339_SIZE] = "";
    buf_init(&payload, TOKEN_MAX);
    struct json *claims = NULL;
    if (end && base64url_decode(dot + 1, (size_t)(end - dot - 1), &payload) == ST_OK)
        claims = json_parse(buf_str(&payload), payload.len, TOKEN_MAX, NULL);
    const char *sub = json_str(claims, "sub"), *role = json_str(claims, "role");
    const int64_t expires_s = json_int(claims, "exp", 0);
    if (expires_s > 0)
        clock_format_rfc3339(expires_s * 1000, until);
    (void)printf("Logged in to %s as %s (%s)%s%s.\n", url, sub ? sub : "?", role ? role : "?",
                 *until ? ", until " : "", until);
    json_free(claims);
    buf_clear(&payload);
}

int ctl_login(struct ctl_run *run)
{
    static char url[1024], token[TOKEN_MAX + 2];
    struct ctl_answer answer;
    if (!take_url(run->args[0], url, sizeof(url)))
        return ctl_fail(run, CTL_USAGE, "the URL must be http://host or https://host");
    if (!read_token(token, sizeof(token)))
        return ctl_fail(run, CTL_USAGE, "the token is one line on the standard input");
    run->url = url;
    run->token = token;
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .rest = "/api/admin/events?limit=1"}, &answer);
    const bool ours = json_is_array(json_get(answer.json, "events"));
    ctl_answer_clear(&answer);
    if (exit != CTL_OK)
        return (int)exit;
    if (!ours)
        return ctl_fail(run, CTL_UNREACHABLE, "%s is not tiketi", url);
    if (!write_file(url, token))
        return ctl_fail(run, CTL_REFUSED, "the token cannot be stored: %s", strerrordesc_np(errno));
    tell_bearer(url, token);
    return CTL_OK;
}

int ctl_logout(struct ctl_run *run)
{
    char path[PATH_MAX];
    if (file_path(path) && unlink(path) != 0 && errno != ENOENT)
        return ctl_fail(run, CTL_REFUSED, "%s: %s", path, strerrordesc_np(errno));
    return CTL_OK;
}
