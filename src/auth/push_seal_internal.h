/* SPDX-License-Identifier: MIT */
/* push_seal_internal: sealing with a given salt and key of the sender, for the example of RFC 8291. */
#ifndef TIKETI_PUSH_SEAL_INTERNAL_H
#define TIKETI_PUSH_SEAL_INTERNAL_H

#include "auth/push_seal.h"

#define SEAL_SALT_LEN 16

struct push_sender {
    unsigned char secret[32]; /* the private key */
    unsigned char salt[SEAL_SALT_LEN];
};
/* Like push_seal, which uses a random key and salt for each message. */
MUST_CHECK enum status push_seal_from(const struct push_sender *sender,
                                      const struct push_keys *keys, const void *message, size_t len,
                                      size_t padded, struct buf *out);

#endif
