/* SPDX-License-Identifier: MIT */
/*
 * pg_server: a private PostgreSQL for one test program: its own folder below /tmp, a Unix socket and
 * a free loopback port, nothing synced to disk. As root it runs as user postgres, because PostgreSQL
 * refuses root. It dies with the test (SIGKILLed tests too).
 */
#ifndef TIKETI_TEST_PG_SERVER_H
#define TIKETI_TEST_PG_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "../base/block.h"

struct pg_server {
    char dir[32];
    char bin[96];
    char url[96]; /* keywords, by the Unix socket */
    int port;
    pid_t pid;
};

static inline int pg_free_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = bind(fd, (struct sockaddr *)&addr, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&addr, &len) == 0;
    close(fd);
    return ok ? ntohs(addr.sin_port) : 0;
}

/* The child becomes user postgres when we are root, and ends with its parent. */
static inline pid_t pg_spawn(const struct pg_server *server, char **argv)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    setpgid(0, 0);
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", server->bin, argv[0]);
    if (getppid() != parent || !freopen("/dev/null", "r", stdin) || chdir(server->dir) ||
        !freopen("log", "a", stdout) || dup2(1, 2) < 0)
        _exit(126);
    argv[0] = path; /* initdb looks for postgres beside itself, and else in a PATH without it */
    execv(path, argv);
    _exit(127);
}

static inline bool pg_wait(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Starts (again) on the folder that is there; true once it answers. A server that was killed leaves
 * processes that need a moment to notice: so it is tried again for a while. */
static inline bool pg_server_run(struct pg_server *server)
{
    char port[12];
    snprintf(port, sizeof(port), "%d", server->port);
    char *argv[] = {"postgres",
                    "-D",
                    "data",
                    "-p",
                    port,
                    "-k",
                    server->dir,
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "fsync=off",
                    "-c",
                    "shared_buffers=16MB",
                    NULL};
    server->pid = pg_spawn(server, argv);
    for (int i = 0; i < 300; i++) {
        if (PQping(server->url) == PQPING_OK)
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            server->pid = pg_spawn(server, argv);
        block_ms(50);
    }
    return false;
}

static inline void pg_server_signal(struct pg_server *server, int sig)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, sig);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static inline void pg_server_stop(struct pg_server *server)
{
    pg_server_signal(server, SIGQUIT);
    char *argv[] = {"rm", "-rf", "--", server->dir, NULL};
    pid_t pid = server->dir[0] ? fork() : -1;
    if (pid == 0) {
        execvp("rm", argv);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static inline bool pg_server_start(struct pg_server *server)
{
    glob_t found;
    memset(server, 0, sizeof(*server));
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found))
        return false;
    snprintf(server->bin, sizeof(server->bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    snprintf(server->dir, sizeof(server->dir), "/tmp/tiketi-pg-XXXXXX");
    if (!mkdtemp(server->dir))
        return false;
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && chown(server->dir, user->pw_uid, user->pw_gid))
        return false;
    server->port = pg_free_port();
    snprintf(server->url, sizeof(server->url), "host=%s port=%d user=tester dbname=postgres",
             server->dir, server->port);
    char *argv[] = {"initdb", "-D", "data", "-U",         "tester", "-A",
                    "trust",  "-E", "UTF8", "--locale=C", "-N",     NULL};
    return pg_wait(pg_spawn(server, argv)) && pg_server_run(server);
}

/* One statement on a connection of its own. */
static inline bool pg_exec(const struct pg_server *server, const char *sql)
{
    PGconn *pg = PQconnectdb(server->url);
    PGresult *result = PQexec(pg, sql);
    bool ok =
        PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    PQfinish(pg);
    return ok;
}

/* The first value of its first row as a number; -1 when there is none. */
static inline long pg_number(const struct pg_server *server, const char *sql)
{
    PGconn *pg = PQconnectdb(server->url);
    PGresult *result = PQexec(pg, sql);
    long number = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;
    PQclear(result);
    PQfinish(pg);
    return number;
}

#endif
