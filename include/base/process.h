/* SPDX-License-Identifier: MIT */
/*
 * process: what a program asks of the process it runs in.
 */
#ifndef TIKETI_PROCESS_H
#define TIKETI_PROCESS_H

/* Raises the limit of open files to the hard one. Returns what is in force, 1,000,000 at most. */
unsigned process_raise_open_files(void);

/* From now on SIGINT, SIGTERM and SIGHUP end nothing but are noted (in children, too), and SIGPIPE is
 * ignored. For programs that look now and then; the service has signals on its loop. */
void process_note_signals(void);
int process_noted_signal(void); /* the last one; 0: none yet */

#endif
