/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target once for each file named on the command line, and prints TAP.
 *
 * Every `make test` replays the corpus in this way, with the normal compiler and without a fuzzer. A target that crashes
 * ends this process; the plan line, printed first, shows the caller that results are missing.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A buffer of exactly the file's size, so that a sanitizer sees a read beyond it. */
static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *data = size >= 0 ? malloc(size > 0 ? (size_t)size : 1) : NULL;
    int result = -1;
    if (data && fseek(file, 0, SEEK_SET) == 0 &&
        fread(data, 1, (size_t)size, file) == (size_t)size) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        result = 0;
    }
    free(data);
    (void)fclose(file);
    return result;
}

int main(int argc, char **argv)
{
    int failed = 0;
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        (void)fflush(stdout);
        int result = replay(argv[i]);
        printf("%s %d - %s\n", result == 0 ? "ok" : "not ok", i, argv[i]);
        failed |= result;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
