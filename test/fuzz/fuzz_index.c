/* SPDX-License-Identifier: MIT */
/* index: a text is refused or gives an index in which positions rise with places and stay within the queue. */
#include "fuzz.h"

#include "queue/index.h"

static void probe(const struct rank_index *index, uint64_t place, uint64_t *last)
{
    uint64_t position = 0;
    const enum index_where where = index_position(index, place, &position);
    check(where <= INDEX_BEYOND && position >= 1);
    if (where == INDEX_EXACT || where == INDEX_NEAR)
        check(position >= *last && position <= index->queue_size + 1);
    if (where == INDEX_EXACT || where == INDEX_NEAR)
        *last = position;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rank_index *index = NULL;
    if (index_decode((const char *)data, size, &index) != ST_OK) {
        check(!index);
        return 0;
    }
    uint64_t last = 0;
    for (size_t i = 0; i < index->count; i++) {
        const struct index_sample *sample = &index->samples[i];
        check(sample->rank < index->queue_size);
        if (i > 0) {
            const struct index_sample *before = sample - 1;
            check(before->rank < sample->rank && before->place < sample->place);
            probe(index, before->place + (sample->place - before->place) / 2, &last);
        }
        probe(index, sample->place, &last);
    }
    uint64_t ignored = 0;
    probe(index, 0, &ignored);
    ignored = 0;
    probe(index, UINT64_MAX, &ignored);
    index_free(index);
    return 0;
}
