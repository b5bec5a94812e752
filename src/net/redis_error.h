/* SPDX-License-Identifier: MIT */
/* redis_error: what an error reply means for the connection on which it came. Used by redis_node alone. */
#ifndef TIKETI_REDIS_ERROR_H
#define TIKETI_REDIS_ERROR_H

#include "net/redis_args.h"

enum redis_error_kind {
    REDIS_ERROR_OURS,      /* a mistake of this program's */
    REDIS_ERROR_KEEP,      /* Redis cannot serve now; the connection may be used again soon */
    REDIS_ERROR_NO_WRITES, /* likewise; reads are still answered */
    REDIS_ERROR_DROP       /* close the connection: after reconnecting another server may answer */
};

/* Of which kind is this error reply? `script` (NULL: a plain command) was called. `in_cluster`: by a node of a cluster. Logs
 * it, and counts it in the metrics. */
enum redis_error_kind redis_error_judge(const char *text, const struct redis_script *script,
                                        bool in_cluster);

#endif
