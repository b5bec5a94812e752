/* SPDX-License-Identifier: MIT */
/*
 * position: prints the positions that a pod would show. argv[1] is a file with the rank index; it reads one place per
 * line and writes its position.
 */
#include "base/memory.h"
#include "queue/index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX ((size_t)4 * 1024 * 1024)

int main(int argc, char **argv)
{
    char *text = xcalloc(1, TEXT_MAX);
    FILE *file = argc > 1 ? fopen(argv[1], "re") : NULL;
    struct rank_index *index = NULL;
    char line[32];
    uint64_t position;
    if (!file || index_decode(text, fread(text, 1, TEXT_MAX, file), &index) != ST_OK)
        return 1;
    while (fgets(line, sizeof(line), stdin)) {
        (void)index_position(index, strtoull(line, NULL, 10), &position);
        printf("%" PRIu64 "\n", position);
    }
    index_free(index);
    (void)fclose(file);
    free(text);
    return 0;
}
