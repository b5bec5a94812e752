/* SPDX-License-Identifier: MIT */
/* reference: what is read as a reference is written as one that reads the same. */
#include "fuzz.h"

#include "queue/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[REFERENCE_SIZE], twice[REFERENCE_SIZE], *text = text_new(data, size);
    uint64_t place = 7, again = 0;
    if (reference_read(text, &place) != ST_OK) {
        check(place == 7);
        place = 0;
        memcpy(&place, text, size < sizeof(place) ? size : sizeof(place));
        place &= (UINT64_C(1) << 55) - 1;
    }
    reference_write(place, out);
    check(strlen(out) == REFERENCE_SIZE - 1);
    check(reference_read(out, &again) == ST_OK && again == place);
    reference_write(again, twice);
    check(strcmp(out, twice) == 0);
    free(text);
    return 0;
}
