/* SPDX-License-Identifier: MIT */
/*
 * memory_limit: how much memory this process may use before the kernel ends it.
 *
 * Why this way: the path in /proc/self/cgroup is the process' own only where its container has a cgroup namespace; in an
 * older one it is the host's, and what is mounted is the container's group itself. So every folder from that path up to
 * the mount is asked, and those that are not there are passed over. A group around this one may allow less.
 * Called by: main, once at start. Owns nothing.
 */
#include "base/memory_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096

/* The first line of a file, without its newline. False: there is none, or it is too long. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const bool read = fgets(line, (int)size, file) && strchr(line, '\n');
    (void)fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

/* Lowers `limit` to what `file` says in the folder and in each one above it up to `mount`; `folder` is shortened. "max" and
 * values beyond the machine's memory are no limits. */
static void apply(struct memory_limit *limit, const char *mount, char *folder, const char *file)
{
    for (;;) {
        char path[2 * PATH_SIZE], line[32], *end;
        (void)snprintf(path, sizeof(path), "%s%s/%s", mount, folder, file);
        if (read_line(path, line, sizeof(line)) && line[0] >= '0' && line[0] <= '9') {
            const uint64_t bytes = strtoull(line, &end, 10);
            if (*end == '\0' && bytes > 0 && (limit->bytes == 0 || bytes < limit->bytes))
                *limit = (struct memory_limit){.bytes = bytes, .cgroup = true};
        }
        char *slash = strrchr(folder, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Is "memory" one of the comma-separated names? */
static bool lists_memory(const char *names)
{
    static const char memory[] = "memory";
    for (const char *at = names; (at = strstr(at, memory)); at += sizeof(memory) - 1)
        if ((at == names || at[-1] == ',') && strchr(",:", at[sizeof(memory) - 1]))
            return true;
    return false;
}

/* Each line is "number:names:/path"; v2 has the number 0 and no name. */
static void read_cgroups(const char *root, struct memory_limit *limit)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[PATH_SIZE], line[PATH_SIZE], mount[PATH_SIZE], folder[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        const char *names = strchr(line, ':');
        const char *own = names ? strchr(names + 1, ':') : NULL;
        line[strcspn(line, "\n")] = '\0';
        if (!own || own[1] != '/' || strstr(own, "/..")) /* a group outside the namespace */
            continue;
        own += own[2] == '\0' ? 2 : 1; /* "/" is the mount itself */
        for (size_t i = 0; strncmp(line, "0::", 3) == 0 && i < sizeof(mounts) / sizeof(mounts[0]);
             i++) {
            (void)snprintf(mount, sizeof(mount), "%s%s", root, mounts[i]);
            (void)snprintf(folder, sizeof(folder), "%s", own);
            apply(limit, mount, folder, "memory.max");
        }
        if (lists_memory(names + 1)) {
            (void)snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/memory", root);
            (void)snprintf(folder, sizeof(folder), "%s", own);
            apply(limit, mount, folder, "memory.limit_in_bytes");
        }
    }
    (void)fclose(file);
}

struct memory_limit memory_limit_read(const char *root)
{
    struct memory_limit limit = {0};
    char path[PATH_SIZE], line[128];
    (void)snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    if (read_line(path, line, sizeof(line)) && strncmp(line, "MemTotal:", 9) == 0)
        limit.bytes = strtoull(line + 9, NULL, 10) * 1024;
    read_cgroups(root, &limit);
    return limit;
}
