/* SPDX-License-Identifier: MIT */
/*
 * crowd_fleet: one crowd in several processes.
 *
 *   fork -> each gets ready -> all begin at the same moment -> their progress is added up -> when the last buyer of
 *   all has ended, each audits its own buyers -> each hands over its counts in a memory file
 *
 * Why this way: a process may open only so many files, and a buyer needs a socket. Processes share one page of
 * memory on which each writes its progress; otherwise each is a whole crowd, with its own buyers, loop and reading
 * of the log. Called by: crowd. Owns: that page, the processes it started, their memory files. A process that
 * ends early ends all others.
 */
#include "crowd/crowd_fleet.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "crowd/crowd_report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS   50
#define SECOND_NS 1000000000ULL

enum part_state { PART_STARTING, PART_READY, PART_DONE };

/* The progress of one process; only it writes this. */
struct notice {
    _Atomic int state;
    _Atomic uint32_t states[BUYER_STATE_COUNT], joined;
    _Atomic uint64_t retries, errors;
};

struct board {
    _Atomic uint64_t begin_ns;
    _Atomic bool all_done;
    struct notice notices[];
};

struct crowd_part {
    struct board *board;
    unsigned index;
    int file;
    pid_t pid; /* 0: has ended */
};

/* ---- a process ---- */

unsigned crowd_part_index(const struct crowd_part *part)
{
    return part->index;
}

void crowd_part_ready(struct crowd_part *part)
{
    atomic_store(&part->board->notices[part->index].state, PART_READY);
}

uint64_t crowd_part_begin_ns(const struct crowd_part *part)
{
    return atomic_load(&part->board->begin_ns);
}

void crowd_part_show(struct crowd_part *part, const struct crowd_tally *tally)
{
    struct notice *notice = &part->board->notices[part->index];
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        atomic_store(&notice->states[i], tally->states[i]);
    atomic_store(&notice->joined, tally->joined);
    atomic_store(&notice->retries, tally->retries);
    atomic_store(&notice->errors, tally->errors);
}

void crowd_part_done(struct crowd_part *part)
{
    atomic_store(&part->board->notices[part->index].state, PART_DONE);
}

bool crowd_part_all_done(const struct crowd_part *part)
{
    return atomic_load(&part->board->all_done);
}

enum status crowd_part_hand_over(struct crowd_part *part, const struct crowd_sum *sum)
{
    FILE *out = fdopen(part->file, "w");
    if (!out)
        return ST_INTERNAL;
    const enum status st = crowd_sum_write(sum, out);
    return fclose(out) == 0 ? st : ST_INTERNAL;
}

/* ---- all of them ---- */

struct fleet {
    struct board *board;
    struct crowd_part *parts;
    unsigned count;
    int code; /* exit code of the first process that failed */
};

static bool all_are(const struct fleet *fleet, enum part_state state)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        if (atomic_load(&fleet->board->notices[i].state) < (int)state)
            return false;
    }
    return true;
}

static void signal_all(const struct fleet *fleet, int signal)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        if (fleet->parts[i].pid > 0)
            (void)kill(fleet->parts[i].pid, signal);
    }
}

/* Notes each process that has ended. After the first failure SIGTERM goes to all others. Returns whether any still
 * runs. */
static bool any_left(struct fleet *fleet)
{
    bool left = false;
    for (unsigned i = 0; i < fleet->count; i++) {
        int status;
        struct crowd_part *part = &fleet->parts[i];
        if (part->pid <= 0)
            continue;
        if (waitpid(part->pid, &status, WNOHANG) != part->pid) {
            left = true;
            continue;
        }
        part->pid = 0;
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (code == 0)
            continue;
        if (WIFSIGNALED(status))
            (void)fprintf(stderr, "tiketi crowd: process %u was ended by signal %d\n", part->index,
                          WTERMSIG(status));
        if (fleet->code == 0) {
            fleet->code = code;
            signal_all(fleet, SIGTERM);
        }
    }
    return left;
}

static void show_progress(const struct fleet *fleet, bool last)
{
    struct crowd_tally all = {.retries = 0};
    const uint64_t begun_ns = atomic_load(&fleet->board->begin_ns);
    for (unsigned i = 0; i < fleet->count; i++) {
        struct notice *notice = &fleet->board->notices[i];
        for (int j = 0; j < BUYER_STATE_COUNT; j++)
            all.states[j] += atomic_load(&notice->states[j]);
        all.joined += atomic_load(&notice->joined);
        all.retries += atomic_load(&notice->retries);
        all.errors += atomic_load(&notice->errors);
    }
    if (begun_ns != 0)
        crowd_report_progress(&all, (clock_mono_ns() - begun_ns + SECOND_NS / 2) / SECOND_NS, last);
}

/* Shows the progress until the last process has ended. */
static void watch(struct fleet *fleet)
{
    bool signalled = false;
    for (uint64_t shown_ns = 0; any_left(fleet);) {
        const bool stop = process_noted_signal() != 0;
        if (stop && !signalled)
            signal_all(fleet, SIGTERM);
        signalled = stop;
        if (atomic_load(&fleet->board->begin_ns) == 0 && all_are(fleet, PART_READY))
            atomic_store(&fleet->board->begin_ns, clock_mono_ns());
        if (!atomic_load(&fleet->board->all_done) && all_are(fleet, PART_DONE)) {
            show_progress(fleet, true);
            atomic_store(&fleet->board->all_done, true);
        }
        if (!atomic_load(&fleet->board->all_done) && clock_mono_ns() - shown_ns >= SECOND_NS) {
            shown_ns = clock_mono_ns();
            show_progress(fleet, false);
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static void start(struct fleet *fleet, int (*work)(void *arg, struct crowd_part *part), void *arg)
{
    const pid_t parent = getpid();
    for (unsigned i = 0; i < fleet->count && fleet->code == 0; i++) {
        struct crowd_part *part = &fleet->parts[i];
        part->board = fleet->board;
        part->index = i;
        part->file = memfd_create("crowd", MFD_CLOEXEC);
        part->pid = part->file < 0 ? -1 : fork();
        if (part->pid == 0) {
            /* A child must not outlive its parent, which may be killed. */
            (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
            if (getppid() != parent)
                _exit(1);
            const int code = work(arg, part);
            (void)fflush(stdout);
            _exit(code);
        }
        if (part->pid < 0) {
            (void)fprintf(stderr, "tiketi crowd: no further process: %s\n", strerrordesc_np(errno));
            fleet->code = 1;
        }
    }
    if (fleet->code != 0)
        signal_all(fleet, SIGTERM);
}

static void add_up(struct fleet *fleet, struct crowd_sum *ret_sum)
{
    for (unsigned i = 0; i < fleet->count && fleet->code == 0; i++) {
        FILE *in = fdopen(fleet->parts[i].file, "r");
        if (!in) {
            fleet->code = 1;
            break;
        }
        rewind(in);
        if (crowd_sum_add(ret_sum, in, i == 0) != ST_OK) {
            (void)fprintf(stderr, "tiketi crowd: process %u did not hand over its counts\n", i);
            fleet->code = 1;
        }
        (void)fclose(in);
        fleet->parts[i].file = -1;
    }
}

int crowd_fleet_run(unsigned parts, int (*work)(void *arg, struct crowd_part *part), void *arg,
                    struct crowd_sum *ret_sum)
{
    const size_t size = sizeof(struct board) + parts * sizeof(struct notice);
    struct fleet fleet = {.count = parts};
    fleet.board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fleet.board == MAP_FAILED)
        return 1;
    fleet.parts = xcalloc(parts, sizeof(*fleet.parts));
    for (unsigned i = 0; i < parts; i++)
        fleet.parts[i].file = -1;
    (void)fflush(stdout);
    start(&fleet, work, arg);
    watch(&fleet);
    add_up(&fleet, ret_sum);
    for (unsigned i = 0; i < parts; i++) {
        if (fleet.parts[i].file >= 0)
            (void)close(fleet.parts[i].file);
    }
    (void)munmap(fleet.board, size);
    free(fleet.parts);
    return fleet.code;
}
