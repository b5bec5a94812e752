/* SPDX-License-Identifier: MIT */
/*
 * queue_answer: what a script says of the buyers of its call. Pure.
 *
 * Why this way: it is one text, since each item of a reply costs Redis and the reader as much as the decision about a
 * buyer. Of newcomers in a row it says the first one's place and position: the others' follow.
 * Called by: queue. The text is Redis', of this build's own script; nothing is read behind its end.
 */
#include "queue/queue_internal.h"

#include <string.h>

#define NEWCOMERS "newcomers"

static size_t next_word(struct queue_answer *answer, const char **ret_word)
{
    const char *word = answer->at;
    const char *blank = memchr(word, ' ', (size_t)(answer->end - word));
    answer->at = blank ? blank + 1 : answer->end;
    *ret_word = word;
    return (size_t)((blank ? blank : answer->end) - word);
}

static uint64_t next_uint(struct queue_answer *answer)
{
    const char *word;
    uint64_t value = 0;
    const size_t len = next_word(answer, &word);
    for (size_t i = 0; i < len && word[i] >= '0' && word[i] <= '9'; i++)
        value = 10 * value + (uint64_t)(word[i] - '0');
    return value;
}

struct queue_answer queue_answer_of(const struct redis_reply *reply)
{
    struct queue_answer answer = {.place = 0};
    size_t len = 0;
    answer.at = redis_reply_str(queue_item_at(reply, 0), &len);
    if (!answer.at)
        answer.at = "";
    answer.end = answer.at + len;
    const size_t name = strlen(NEWCOMERS " ");
    if (len > name && memcmp(answer.at, NEWCOMERS " ", name) == 0) {
        answer.at += name;
        answer.place = next_uint(&answer);
        answer.position = next_uint(&answer);
    }
    return answer;
}

enum status queue_answer_next(struct queue_answer *answer, struct queue_place *ret_place)
{
    static const struct {
        const char *name;
        enum queue_state state;
        bool direct;
    } states[] = {
        {"waiting", QUEUE_WAITING, false},     {"active", QUEUE_ACTIVE, false},
        {"gone", QUEUE_GONE, false},           {"direct", QUEUE_ACTIVE, true},
        {"offered", QUEUE_OFFERED, false},     {"parked", QUEUE_PARKED, false},
        {"unclaimed", QUEUE_UNCLAIMED, false}, {"closed", QUEUE_CLOSED, false},
        {"refused", QUEUE_REFUSED, false},     {"banned", QUEUE_BANNED, false},
    };
    if (answer->place) {
        *ret_place = (struct queue_place){
            .state = QUEUE_WAITING, .number = answer->place++, .position = answer->position++};
        return ST_OK;
    }
    const char *word;
    const size_t len = next_word(answer, &word);
    size_t i = 0;
    while (i < sizeof(states) / sizeof(states[0]) &&
           (strlen(states[i].name) != len || memcmp(states[i].name, word, len) != 0))
        i++;
    if (i == sizeof(states) / sizeof(states[0]))
        return ST_INTERNAL;
    *ret_place = (struct queue_place){.state = states[i].state, .direct = states[i].direct};
    ret_place->number = next_uint(answer);
    const uint64_t third = next_uint(answer);
    if (ret_place->state == QUEUE_ACTIVE)
        ret_place->pay_until_ms = (int64_t)third;
    else if (ret_place->state == QUEUE_UNCLAIMED)
        ret_place->claim_from_ms = (int64_t)third;
    else
        ret_place->position = third;
    ret_place->since_ms = (int64_t)next_uint(answer);
    return ST_OK;
}
