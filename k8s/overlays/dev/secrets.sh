#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Prints the Secrets of this overlay, with new random values each time. `create -f -` refuses to change those that exist, which
# is right: with other keys every buyer is a new one.

set -eu

# random BYTES: in hex
random() {
    od -An -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}

redis=$(random 16)
replica=$(random 16)
postgres=$(random 16)
database=postgresql://tiketi:$postgres@tiketi-postgres:5432/tiketi

# secret NAME KEY VALUE...
secret() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\nstringData:\n' "$1"
    shift
    while [ $# -gt 0 ]; do
        printf '  %s: |-\n' "$1"
        printf '%s\n' "$2" | sed 's/^/    /'
        shift 2
    done
}

example=$(dirname "$0")/../../components/redis/secret.example
filled() {
    sed "s/REPLICA_PASSWORD/$replica/; s/PASSWORD/$redis/" "$example/$1"
}

secret tiketi-backends REDIS_URL "redis://tiketi:$redis@tiketi-redis:6379" DATABASE_URL "$database"
secret tiketi-migrate DATABASE_URL "$database"
secret tiketi-keys TICKET_KEYS "k1:$(random 32)" JWT_SECRETS "$(random 32)"
secret tiketi-api PAYMENT_WEBHOOK_SECRETS "$(random 32)" OIDC_CLIENT_SECRET ''
secret tiketi-messages MAIL_URL '' VAPID_KEYS ''
secret tiketi-redis users.acl "$(filled users.acl)" replica.conf "$(filled replica.conf)"
secret tiketi-postgres POSTGRES_PASSWORD "$postgres"
