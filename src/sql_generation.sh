#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sql/functions/generation: "NUMBER CHECKSUM" of the texts of sql/functions/*.sql and sql/migrations/*.sql. The number is
# stored in the database; a program of a lower one leaves it alone (src/net/db_migrate.c).
#
#   src/sql_generation.sh          exits 1, and says so, when a text has changed since
#   src/sql_generation.sh raise    then raises the number and writes the checksum

set -eu
export LC_ALL=C
cd "$(dirname "$0")/../sql/functions"

read -r number checksum <generation
found=$(sha256sum -- *.sql ../migrations/*.sql | sha256sum | cut -c 1-16)
[ "$found" != "$checksum" ] || exit 0
if [ "${1-}" = raise ]; then
    echo "$((number + 1)) $found" >generation
else
    echo "sql/ has changed, and sql/functions/generation has not: run src/sql_generation.sh raise"
    exit 1
fi
