/* SPDX-License-Identifier: MIT */
/*
 * proxy_nginx: runs nginx.
 *
 * Why this way: nginx has a folder of its own, so that it meets no other nginx of the machine and needs no rights of root. A
 * configuration is judged by `nginx -t` before it replaces the one in use: a reload never ends the service. The master is told by
 * the kernel when this program is gone, even by kill -9, so that no nginx is left behind.
 * Called by: proxy. Owns: the child process.
 */
#include "proxy/proxy_nginx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_S 10

/* ---- program and folder ---- */

static bool is_program(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static bool find_program(const char *given, char *out)
{
    const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): there is one thread */
    char list[4096], *rest = list;
    (void)snprintf(list, sizeof(list), "%s:/usr/sbin:/usr/local/sbin:/usr/bin", path ? path : "");
    if (given && strchr(given, '/')) {
        (void)snprintf(out, NGINX_PATH_MAX, "%s", given);
        return is_program(out);
    }
    for (const char *folder; (folder = strsep(&rest, ":"));) {
        const int len = snprintf(out, NGINX_PATH_MAX, "%s/%s", folder, given ? given : "nginx");
        if (folder[0] == '/' && len < NGINX_PATH_MAX && is_program(out))
            return true;
    }
    return false;
}

/* A folder that is this user's alone: others must not change what nginx is told. */
static enum status make_folder(const char *path, struct options_error *error)
{
    struct stat info;
    /* Workers of a root's nginx are another user, who has files of its own in it. */
    const mode_t mode = geteuid() == 0 ? 0711 : 0700;
    if ((mkdir(path, mode) == 0 || errno == EEXIST) && lstat(path, &info) == 0 &&
        S_ISDIR(info.st_mode) && info.st_uid == geteuid() && chmod(path, mode) == 0)
        return ST_OK;
    return options_refuse(
        error, "the folder %.150s cannot be used: %s; name another with --dir", path,
        errno && errno != EEXIST ? strerrordesc_np(errno) : "it belongs to somebody else");
}

enum status proxy_nginx_find(const char *program, const char *dir, const char *event,
                             struct proxy_nginx *ret, struct options_error *error)
{
    const char *run = getenv("XDG_RUNTIME_DIR"); /* NOLINT(concurrency-mt-unsafe): as above */
    *ret = (struct proxy_nginx){.pid = 0};
    if (!find_program(program, ret->program)) {
        (void)options_refuse(error,
                             "nginx is missing: `apt-get install nginx-light`, or name it with "
                             "--nginx PATH; it needs the modules auth_request and realip, which "
                             "Debian's has");
        return ST_NOT_FOUND;
    }
    errno = 0;
    if (dir)
        (void)snprintf(ret->dir, sizeof(ret->dir), "%s", dir);
    else if (geteuid() == 0)
        (void)snprintf(ret->dir, sizeof(ret->dir), "/run/tiketi-proxy-%s", event);
    else if (run && run[0] == '/' && strlen(run) < 200)
        (void)snprintf(ret->dir, sizeof(ret->dir), "%s/tiketi-proxy-%s", run, event);
    else
        (void)snprintf(ret->dir, sizeof(ret->dir), "/tmp/tiketi-proxy-%u-%s", (unsigned)geteuid(),
                       event);
    return make_folder(ret->dir, error);
}

/* ---- the process ---- */

static pid_t spawn(const struct proxy_nginx *nginx, const char *conf, bool test)
{
    char prefix[NGINX_PATH_MAX + 2];
    const pid_t parent = getpid();
    (void)snprintf(prefix, sizeof(prefix), "%s/", nginx->dir);
    (void)fflush(NULL);
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    /* Of a process group of its own: Ctrl-C is for this program, which stops nginx gracefully. */
    (void)setpgid(0, 0);
    if (test)
        (void)execl(nginx->program, "nginx", "-q", "-t", "-p", prefix, "-e", "stderr", "-c", conf,
                    (char *)NULL);
    else
        (void)execl(nginx->program, "nginx", "-p", prefix, "-e", "stderr", "-c", conf,
                    (char *)NULL);
    _exit(127);
}

static enum status write_file(const char *path, const struct buf *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        return ST_UNAVAILABLE;
    const bool written = fwrite(text->data, 1, text->len, file) == text->len;
    return fclose(file) == 0 && written ? ST_OK : ST_UNAVAILABLE;
}

enum status proxy_nginx_configure(const struct proxy_nginx *nginx, const struct buf *text,
                                  struct options_error *error)
{
    char next[NGINX_PATH_MAX + 32], path[NGINX_PATH_MAX + 32];
    int status = -1;
    (void)snprintf(next, sizeof(next), "%s/next.conf", nginx->dir);
    (void)snprintf(path, sizeof(path), "%s/nginx.conf", nginx->dir);
    if (write_file(next, text) != ST_OK)
        return options_refuse(error, "%.150s cannot be written: %s", next, strerrordesc_np(errno));
    const pid_t pid = spawn(nginx, next, true);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return options_refuse(error, "nginx refuses the configuration %.150s: see its message",
                              next);
    if (rename(next, path) != 0)
        return options_refuse(error, "%.150s cannot be written: %s", path, strerrordesc_np(errno));
    return ST_OK;
}

enum status proxy_nginx_start(struct proxy_nginx *nginx, struct options_error *error)
{
    char path[NGINX_PATH_MAX + 32];
    (void)snprintf(path, sizeof(path), "%s/nginx.conf", nginx->dir);
    const pid_t pid = spawn(nginx, path, false);
    if (pid < 0)
        return options_refuse(error, "nginx cannot be started: %s", strerrordesc_np(errno));
    nginx->pid = pid;
    return ST_OK;
}

void proxy_nginx_reload(const struct proxy_nginx *nginx)
{
    if (nginx->pid > 0)
        (void)kill(nginx->pid, SIGHUP);
}

bool proxy_nginx_ended(struct proxy_nginx *nginx, int *ret_status)
{
    if (nginx->pid <= 0 || waitpid(nginx->pid, ret_status, WNOHANG) != nginx->pid)
        return false;
    (void)kill(-nginx->pid, SIGTERM); /* workers outlive a master that was killed, with its ports */
    nginx->pid = 0;
    return true;
}

void proxy_nginx_stop(struct proxy_nginx *nginx)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    int status;
    if (nginx->pid <= 0)
        return;
    (void)kill(nginx->pid, SIGQUIT);
    for (int i = 0; i < STOP_S * 50; i++) {
        if (proxy_nginx_ended(nginx, &status))
            return;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(nginx->pid, SIGTERM);
    (void)waitpid(nginx->pid, &status, 0);
    nginx->pid = 0;
}
