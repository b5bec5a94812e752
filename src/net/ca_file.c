/* SPDX-License-Identifier: MIT */
/* ca_file: can a file of certificate authorities be used? Called by: trial. Pure, but for the file. */
#include "net/ca_file.h"

#include <openssl/err.h>
#include <openssl/x509.h>

bool ca_file_is_usable(const char *path)
{
    X509_STORE *store = X509_STORE_new();
    const bool usable = store && X509_STORE_load_file(store, path) == 1;
    X509_STORE_free(store);
    ERR_clear_error();
    return usable;
}
