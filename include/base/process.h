/* SPDX-License-Identifier: MIT */
/* process: open files and signals of this process. */
#ifndef TIKETI_PROCESS_H
#define TIKETI_PROCESS_H

/* Raises the limit of open files to the hard limit. Returns the limit in force, at most 1,000,000. */
unsigned process_raise_open_files(void);

/* From now on SIGINT, SIGTERM and SIGHUP no longer end the process or its children: they are noted for
 * process_noted_signal. SIGPIPE is ignored. For programs that poll; the service waits for its signals in
 * main. */
void process_note_signals(void);
int process_noted_signal(void); /* the number of the last one; 0: none yet */

#endif
