/* SPDX-License-Identifier: MIT */
/*
 * proxy: `tiketi proxy`, the waiting room in front of an unchanged shop: writes the configuration of an nginx, starts it,
 * watches it, and reloads it when it is told to (SIGHUP) or when a name has other addresses.
 *
 * Why this way: what a proxy has to do well, nginx does (decision 0128). This program is the part that nginx has not: it checks
 * what it is told, asks the service whether it fits, looks names up again, and keeps nginx running.
 * Called by: main (`tiketi proxy` becomes it). Owns: the nginx.
 */
#include "base/process.h"
#include "base/program.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_nginx.h"
#include "proxy/proxy_resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_MAX      (512 * 1024)
#define CONNECTIONS_MAX 16384
#define FILES_KEPT      64 /* for what is no connection */
#define STEADY_S        30 /* an nginx that has run for so long may be started again at once */
#define PAUSE_MAX       32 /* looks for names between two reloads, at most */
#define RESTARTS_MAX    5  /* of one that has not */

#define FIELD(name) offsetof(struct proxy_options, name)

static const struct option_row rows[] = {
    {"origin", OPT_TEXT | OPT_REQUIRED, FIELD(origin), 0, 0, NULL, "URL",
     "the shop, such as http://127.0.0.1:3000"},
    {"event", OPT_TEXT | OPT_REQUIRED, FIELD(event), 0, 0, NULL, "ID",
     "the event whose turns open the shop"},
    {"service", OPT_TEXT, FIELD(service), 0, 0, "http://127.0.0.1:8080", "URL",
     "the api role of the service"},
    {"socket", OPT_TEXT, FIELD(socket), 0, 0, NULL, "URL",
     "its gateway; the default is the next port of --service"},
    {"listen", OPT_TEXT, FIELD(listen), 0, 0, "127.0.0.1:8000", "ADDRESS",
     "a port, or an address with one, such as 0.0.0.0:80"},
    {"prefix", OPT_TEXT, FIELD(prefix), 0, 0, "/.tiketi", "PATH", "the service's PATH_PREFIX"},
    {"origin-host", OPT_TEXT, FIELD(origin_host), 0, 0, NULL, "HOST",
     "the Host that the shop is asked for; the default is the visitor's"},
    {"origin-ca", OPT_TEXT, FIELD(origin_ca), 0, 0, NULL, "FILE",
     "authorities (PEM) of a shop over https; the default is the system's"},
    {"bypass-paths", OPT_TEXT, FIELD(bypass_paths), 0, 0, NULL, "LIST",
     "paths that need no turn: /payment/callback,/health,/hooks/*"},
    {"bypass-methods", OPT_TEXT, FIELD(bypass_methods), 0, 0, "HEAD,OPTIONS", "LIST",
     "methods that need no turn; none: every method does"},
    {"bypass-networks", OPT_TEXT, FIELD(bypass_networks), 0, 0, NULL, "LIST",
     "clients that need no turn: 10.0.0.0/8,2001:db8::/32"},
    {"bypass-headers", OPT_TEXT, FIELD(bypass_headers), 0, 0, NULL, "FILE",
     "lines \"Name: secret\": a request with one of them needs no turn"},
    {"trusted-proxies", OPT_TEXT, FIELD(trusted_proxies), 0, 0, NULL, "LIST",
     "proxies in front of this one, whose X-Forwarded-For and -Proto are believed"},
    {"tls-cert", OPT_TEXT, FIELD(tls_cert), 0, 0, NULL, "FILE",
     "certificate and chain (PEM): serve https"},
    {"tls-key", OPT_TEXT, FIELD(tls_key), 0, 0, NULL, "FILE", "its private key (PEM)"},
    {"max-body", OPT_COUNT, FIELD(max_body_mb), 0, 1000000, "0", "MB",
     "the largest upload; 0: the shop's own limit"},
    {"timeout", OPT_DURATION, FIELD(timeout_ms), 1000, OPTIONS_DAY_MS, "1h", "TIME",
     "how long the shop may say nothing, in an answer or on a socket"},
    {"resolve", OPT_DURATION, FIELD(resolve_ms), 100, 3600000, "10s", "TIME",
     "how often names are looked up again"},
    {"dir", OPT_TEXT, FIELD(dir), 0, 0, NULL, "FOLDER",
     "where the configuration is kept; the default is a folder for the event"},
    {"nginx", OPT_TEXT, FIELD(nginx), 0, 0, NULL, "PROGRAM", "which nginx to run"},
    {"print", OPT_FLAG, FIELD(print), 0, 0, NULL, NULL,
     "print the configuration, and start nothing"},
    {0},
};

struct proxy {
    const struct proxy_options *options;
    struct proxy_settings settings;
    struct proxy_addresses addresses;
    struct proxy_memory memory;
    struct proxy_nginx nginx;
    unsigned looks, pause; /* since the last reload for addresses, and how many must be */
    struct timespec started;
    int restarts;
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    (void)fputs("tiketi proxy: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* nginx inherits the limit of open files. A request takes two connections: the visitor's and the shop's. */
static unsigned connections_of(unsigned open_files)
{
    return open_files > CONNECTIONS_MAX + FILES_KEPT ? CONNECTIONS_MAX
           : open_files > 2 * FILES_KEPT             ? open_files - FILES_KEPT
                                                     : FILES_KEPT;
}

static enum status write_config(const struct proxy *proxy, struct buf *out,
                                struct options_error *error)
{
    buf_init(out, CONFIG_MAX);
    proxy_config_write(&proxy->settings, &proxy->addresses, out);
    return buf_status(out) == ST_OK
               ? ST_OK
               : options_refuse(error, "the configuration has over %d bytes", CONFIG_MAX);
}

static enum status configure(const struct proxy *proxy, struct options_error *error)
{
    struct buf text;
    enum status st = write_config(proxy, &text, error);
    if (st == ST_OK)
        st = proxy_nginx_configure(&proxy->nginx, &text, error);
    buf_clear(&text);
    return st;
}

static int print(const struct proxy *proxy)
{
    struct options_error error;
    struct buf text;
    const enum status st = write_config(proxy, &text, &error);
    if (st == ST_OK)
        (void)fputs(buf_str(&text), stdout);
    buf_clear(&text);
    return st == ST_OK && fflush(stdout) == 0 ? 0 : 1;
}

/* False: it must not be started in front of this service. */
static bool fits_service(const struct proxy *proxy)
{
    const struct proxy_settings *settings = &proxy->settings;
    switch (proxy_ask_service(settings)) {
    case PROXY_WRONG_PREFIX:
        say("the service at %s has nothing below %s: start it with PATH_PREFIX=%s, or name its "
            "prefix with --prefix",
            settings->service.text, settings->prefix, settings->prefix);
        return false;
    case PROXY_SILENT:
        say("warning: the service at %s does not answer; until it does, visitors are asked to "
            "wait (503)",
            settings->service.text);
        return true;
    case PROXY_NOT_TRUSTED:
        say("warning: the service at %s does not believe this proxy: name this machine in its "
            "TRUSTED_PROXIES, or all visitors count as one address, and cookies are not Secure",
            settings->service.text);
        return true;
    case PROXY_NO_EVENT:
        say("warning: the service at %s has no event %s; until it has, nobody is let in",
            settings->service.text, settings->event);
        return true;
    default:
        return true;
    }
}

static void greet(const struct proxy *proxy)
{
    const struct proxy_settings *settings = &proxy->settings;
    (void)printf("%s is behind the waiting room of event %s now:\n"
                 "  visitors   %s://%s:%s/\n"
                 "  tiketi     below %s (console: %s/console)\n"
                 "  nginx      %s/nginx.conf, written by this program\n"
                 "Ctrl-C, or kill %ld, stops it; kill -HUP %ld reads names and files again.\n",
                 settings->origin.text, settings->event, settings->tls_cert ? "https" : "http",
                 settings->listen_host, settings->listen_port, settings->prefix, settings->prefix,
                 proxy->nginx.dir, (long)getpid(), (long)getpid());
    (void)fflush(stdout);
}

/* ---- while it runs ---- */

/* Each reload leaves the old workers of nginx for as long as a WebSocket is open. So the pause doubles from one reload to the next,
 * and ends when the addresses have stayed for as long as the longest pause. */
static bool must_pause(struct proxy *proxy, bool changed)
{
    if (proxy->looks < PAUSE_MAX)
        proxy->looks++;
    else
        proxy->pause = 0;
    if (!changed || proxy->looks < proxy->pause)
        return true;
    proxy->pause = proxy->pause == 0 ? 2 : proxy->pause < PAUSE_MAX ? 2 * proxy->pause : PAUSE_MAX;
    proxy->looks = 0;
    return false;
}

/* `told`: by SIGHUP, so certificates are read again even if nothing else has changed. */
static void renew(struct proxy *proxy, bool told)
{
    struct proxy_addresses now;
    struct proxy_settings settings = proxy->settings;
    struct options_error error;
    if (told && proxy_settings_read(proxy->options, &settings, &error) != ST_OK) {
        say("not reloaded: %s", error.text);
        return;
    }
    settings.connections = proxy->settings.connections;
    if (proxy_resolve(&settings, &now, &error) != ST_OK) {
        say("warning: %s; the addresses of before stay", error.text);
        now = proxy->addresses;
    } else {
        proxy_remember(&proxy->memory, &now);
    }
    if (!told && must_pause(proxy, memcmp(&now, &proxy->addresses, sizeof(now)) != 0))
        return;
    struct proxy next = *proxy;
    next.settings = settings;
    next.addresses = now;
    if (configure(&next, &error) != ST_OK) {
        say("not reloaded: %s", error.text);
        return;
    }
    *proxy = next;
    proxy_nginx_reload(&proxy->nginx);
    say(told ? "reloaded" : "reloaded: a name has other addresses");
}

static enum status start(struct proxy *proxy, struct options_error *error)
{
    (void)clock_gettime(CLOCK_MONOTONIC, &proxy->started);
    return proxy_nginx_start(&proxy->nginx, error);
}

/* Starts an nginx that has ended again. False: it ends each time. */
static bool revive(struct proxy *proxy, int status)
{
    struct options_error error;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - proxy->started.tv_sec >= STEADY_S)
        proxy->restarts = 0;
    if (WIFEXITED(status))
        say("nginx has ended with status %d", WEXITSTATUS(status));
    else
        say("nginx was ended by signal %d", WTERMSIG(status));
    if (++proxy->restarts > RESTARTS_MAX) {
        say("giving up: nginx has ended %d times", proxy->restarts);
        return false;
    }
    if (start(proxy, &error) != ST_OK) {
        say("%s", error.text);
        return false;
    }
    say("nginx is started again");
    return true;
}

/* Until a signal ends it. Returns the exit code. */
static int watch(struct proxy *proxy, const sigset_t *signals)
{
    const int64_t ms = proxy->options->resolve_ms;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int status;
    for (;;) {
        const int number = sigtimedwait(signals, NULL, &pause);
        if (number == SIGINT || number == SIGTERM)
            return 0;
        if (proxy_nginx_ended(&proxy->nginx, &status) && !revive(proxy, status))
            return 1;
        if (number == SIGHUP || (number < 0 && errno == EAGAIN))
            renew(proxy, number == SIGHUP);
    }
}

/* Waits until nginx has written its pid, which it does once it listens. False: it has ended. */
static bool listens(struct proxy *proxy)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    char path[NGINX_PATH_MAX + 32];
    int status;
    (void)snprintf(path, sizeof(path), "%s/nginx.pid", proxy->nginx.dir);
    for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++) {
        if (proxy_nginx_ended(&proxy->nginx, &status))
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static int run_nginx(struct proxy *proxy)
{
    char path[NGINX_PATH_MAX + 32];
    struct options_error error;
    sigset_t signals;
    (void)sigemptyset(&signals);
    for (const int *at = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGCHLD, 0}; *at; at++)
        (void)sigaddset(&signals, *at);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)snprintf(path, sizeof(path), "%s/nginx.pid", proxy->nginx.dir);
    if (configure(proxy, &error) != ST_OK)
        return program_fail("proxy", 1, "%s", error.text);
    (void)unlink(path); /* of the test, or of one that was killed */
    if (start(proxy, &error) != ST_OK)
        return program_fail("proxy", 1, "%s", error.text);
    if (!listens(proxy))
        return program_fail("proxy", 1, "nginx does not start: see its message");
    greet(proxy);
    const int code = watch(proxy, &signals);
    proxy_nginx_stop(&proxy->nginx);
    if (code == 0)
        (void)puts("stopped");
    return code;
}

static int proxy_run(struct config *config, const void *arg)
{
    const struct proxy_options *options = arg;
    static struct proxy proxy;
    struct options_error error;
    (void)config;
    proxy.options = options;
    enum status st = proxy_settings_read(options, &proxy.settings, &error);
    if (st != ST_OK)
        return program_fail("proxy", EXIT_USAGE, "%s", error.text);
    if (proxy_meets_itself(&proxy.settings))
        return program_fail(
            "proxy", EXIT_USAGE,
            "--origin %s is where --listen has this proxy itself: name the shop's own "
            "address, or listen at another port",
            proxy.settings.origin.text);
    proxy.settings.connections = connections_of(process_raise_open_files());
    st = proxy_resolve(&proxy.settings, &proxy.addresses, &error);
    if (st != ST_OK)
        return program_fail("proxy", 1, "%s", error.text);
    if (options->print)
        return print(&proxy);
    proxy_remember(&proxy.memory, &proxy.addresses);
    if (!proxy_is_there(&proxy.settings.origin))
        say("warning: nothing listens at the shop's address %s; until it does, buyers see a page "
            "that "
            "says so (502)",
            proxy.settings.origin.text);
    st = proxy_nginx_find(options->nginx, proxy.settings.dir, proxy.settings.event, &proxy.nginx,
                          &error);
    if (st != ST_OK)
        return program_fail("proxy", 1, "%s", error.text);
    return fits_service(&proxy) ? run_nginx(&proxy) : 1;
}

int main(int argc, char **argv)
{
    static const struct program_command command = {
        .name = "proxy",
        .usage = "--origin URL --event ID [options]",
        .about =
            "Puts the waiting room in front of a shop that knows nothing of it: visitors with a "
            "turn are passed\n"
            "through, others see the waiting page at the address they asked for. Runs nginx, with "
            "a "
            "configuration\n"
            "of its own. The service needs PATH_PREFIX=/.tiketi, and this machine in "
            "TRUSTED_PROXIES.\n"
            "docs/integrate/proxy.md says more.\n\n"
            "A TIME has a unit: 250ms, 5s, 15m, 1h. A LIST has commas.\n",
        .rows = rows,
        .options_size = sizeof(struct proxy_options),
        .run = proxy_run};
    return program_run(&command, argc, argv);
}
