/* SPDX-License-Identifier: MIT */
/*
 * process_stats: what the kernel says of this process, and which build it is.
 *
 * Why this way: the names are those of all Prometheus clients, so that rules and dashboards for any process fit this one.
 * Read when somebody scrapes, so that it costs nothing otherwise.
 * Called by: api_metrics, from any api worker. Owns: the last count of open files.
 */
#include "base/process_stats.h"

#include "base/build.h"
#include "base/clock.h"
#include "base/cpus.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT_EVERY_NS INT64_C(5000000000)

/* The fields of /proc/self/stat behind the name of the program, which may have spaces; the first one is number 3. */
enum {
    STAT_FIRST = 3,
    STAT_UTIME = 14,
    STAT_STIME = 15,
    STAT_START = 22,
    STAT_VSIZE = 23,
    STAT_RSS = 24
};

static bool read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const size_t len = fread(text, 1, size - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    return len > 0;
}

/* Fills values[STAT_FIRST..STAT_RSS]. */
static bool read_stat(double *values)
{
    char text[1024];
    const char *at = read_file("/proc/self/stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;
    if (!at)
        return false;
    at++;
    for (int field = STAT_FIRST; field <= STAT_RSS; field++) {
        if (*at != ' ')
            return false;
        values[field] = strtod(at + 1, NULL); /* the state is a letter: 0 */
        at = at + 1 + strcspn(at + 1, " ");
    }
    return true;
}

/* Seconds since 1970 when the machine started; 0: not known. */
static double boot_time(void)
{
    struct timespec boot, wall;
    if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0)
        return 0;
    return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

static uint64_t count_open_files(void)
{
    static atomic_uint_fast64_t counted;
    static atomic_int_fast64_t counted_ns;
    const int64_t now = (int64_t)clock_mono_ns();
    struct stat info;
    /* Since Linux 6.2 the size of the folder is the number of open files. */
    if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0)
        return (uint64_t)info.st_size;
    const int64_t last = atomic_load(&counted_ns);
    if (last != 0 && now - last < COUNT_EVERY_NS)
        return atomic_load(&counted);
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;
    while (folder && readdir(folder)) /* NOLINT(concurrency-mt-unsafe): a folder of our own */
        count++;
    if (folder)
        (void)closedir(folder);
    count = count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
    atomic_store(&counted, count);
    atomic_store(&counted_ns, now);
    return count;
}

static void write_one(const struct metrics_text *text, const char *name, const char *type,
                      const char *help, double value)
{
    metrics_text_family(text, name, type, help);
    metrics_text_number(text, name, "", value);
}

/* Of the process, to the hundredth: two readings must never differ by the clock's steps. */
static double start_time(const double *stat, double ticks)
{
    static _Atomic double started;
    double known = atomic_load(&started);
    if (known == 0) {
        known = boot_time() + stat[STAT_START] / ticks;
        atomic_store(&started, known);
    }
    return known;
}

void process_stats_write(const struct metrics_text *text)
{
    double stat[STAT_RSS + 1];
    struct rlimit files;
    struct buf labels;
    buf_init(&labels, 256);
    metrics_text_label(&labels, "version", build_version);
    metrics_text_label(&labels, "commit", build_commit);
    metrics_text_family(text, "tiketi_build_info", "gauge", "1; the labels name the build.");
    metrics_text_count(text, "tiketi_build_info", buf_str(&labels), 1);
    buf_clear(&labels);

    if (read_stat(stat)) {
        const double ticks = (double)sysconf(_SC_CLK_TCK);
        write_one(text, "process_cpu_seconds_total", "counter",
                  "CPU time of the process, user and system.",
                  (stat[STAT_UTIME] + stat[STAT_STIME]) / ticks);
        write_one(text, "process_start_time_seconds", "gauge",
                  "When the process started, in seconds since 1970.", start_time(stat, ticks));
        write_one(text, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                  stat[STAT_VSIZE]);
        write_one(text, "process_resident_memory_bytes", "gauge", "Resident memory.",
                  stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE));
    }
    write_one(text, "tiketi_cpus", "gauge",
              "Cores that the process may use, by its affinity and its cgroups' quotas.",
              cpus_allowed());
    write_one(text, "process_open_fds", "gauge", "Open files and sockets.",
              (double)count_open_files());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        write_one(text, "process_max_fds", "gauge", "Most files and sockets that may be open.",
                  (double)files.rlim_cur);
}
