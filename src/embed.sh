#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Writes the C file with lua/, sql/migrations/, sql/functions/, build/web/ (src/web.sh), docs/openapi.json and docs/asyncapi.json for the
# binary (include/base/embed.h). Needs only od, awk, find and sha256sum. Each Lua entry is the
# names of the keys, lua/shared.lua, a newline, and the script itself: scripts cannot call each other
# inside Redis, so the shared code is prepended here.

set -eu
export LC_ALL=C

cd "$(dirname "$0")/.."

# literal: standard input as the lines of one C string literal. Octal escapes always have three
# digits, so that a following digit does not belong to them; '?' is escaped because of trigraphs.
literal() {
    od -An -v -tu1 | awk '
        function flush() { if (line != "") print "    \"" line "\""; line = "" }
        BEGIN { none = 1 }
        {
            for (i = 1; i <= NF; i++) {
                none = 0
                c = $i + 0
                if (c == 10) { line = line "\\n"; flush(); continue }
                if (c < 32 || c > 126 || c == 34 || c == 63 || c == 92)
                    line = line sprintf("\\%03o", c)
                else
                    line = line sprintf("%c", c)
                if (length(line) > 90) flush()
            }
        }
        END { flush(); if (none) print "    \"\"" }'
}

scratch=${TMPDIR:-/tmp}/embed.$$
trap 'rm -f "$scratch" "$scratch.list"' EXIT

# entry TABLE NAME [FILE]: one array of bytes from standard input; its table line goes to $table. FILE: beside it may be
# compressed copies, FILE.gz and FILE.br.
count=0
entry() {
    cat >"$scratch"
    printf 'static const char %s_%d[] =\n' "$1" "$count"
    literal <"$scratch"
    printf '    ;\n\n'
    hash=$(sha256sum <"$scratch" | cut -c1-16)
    packed=
    for coding in gz br; do
        copy "$1_${count}_$coding" "${3-}.$coding"
    done
    table="$table    {\"$2\", $1_$count, sizeof($1_$count) - 1, \"$hash\"$packed},
"
    count=$((count + 1))
}

# copy ARRAY FILE: a compressed copy, if there is one that is smaller.
copy() {
    if [ -e "$2" ] && [ "$(wc -c <"$2")" -lt "$(wc -c <"$scratch")" ]; then
        printf 'static const char %s[] =\n' "$1"
        literal <"$2"
        printf '    ;\n\n'
        packed="$packed, $1, sizeof($1) - 1"
    else
        packed="$packed, NULL, 0"
    fi
}

# close_table NAME: the table itself. The empty last entry makes an empty table valid C.
close_table() {
    printf 'const struct embed embed_%s[] = {\n%s    {NULL, NULL, 0, NULL, NULL, 0, NULL, 0},\n};\n' "$1" "$table"
    printf 'const size_t embed_%s_count = sizeof(embed_%s) / sizeof(embed_%s[0]) - 1;\n\n' "$1" "$1" "$1"
    table=
    count=0
}

# files FOLDER PATTERN: the files to embed, one per line, ordered by name. A folder without any is an
# error that ends the build. So it is not called in the list of a `for` or in a here-document, where
# the shell would ignore the failure.
files() {
    found=$(find "$1" -type f -name "$2" ! -name '.*' | sort)
    [ -n "$found" ] || { echo "src/embed.sh: no $2 below $1/" >&2; return 1; }
    printf '%s\n' "$found"
}

table=
printf '/* Made by src/embed.sh. Do not edit. */\n\n#include <stddef.h>\n\n#include "base/embed.h"\n\n'

# The names of the keys stand in the first line of lua/shared.lua, so that every line keeps its number.
keys=$(sed -n 's/^ *KEY(\([A-Z_]*\), .*/K_\1/p' src/queue/queue_keys.h | paste -s -d, -)
[ -n "$keys" ] || { echo 'src/embed.sh: no KEY( in src/queue/queue_keys.h' >&2; exit 1; }
shared=$(files lua shared.lua)
scripts=$(files lua '*.lua')
for file in $scripts; do
    [ "$file" != "$shared" ] || continue
    entry lua "$(basename "$file" .lua)" <<END
local $keys = unpack(KEYS) $(cat "$shared" && echo && cat "$file")
END
done
close_table lua

for folder in migrations functions; do
    scripts=$(files "sql/$folder" '*.sql')
    for file in $scripts; do
        entry "$folder" "${file##*/}" <"$file"
    done
    close_table "$folder"
done
generation=$(cut -d ' ' -f 1 sql/functions/generation)
printf 'const long embed_functions_generation = %d;\n\n' "$generation"
oldest=$(cut -d ' ' -f 1 sql/functions/oldest)
printf 'const long embed_functions_oldest = %d;\n\n' "$oldest"

files build/web '*' >"$scratch.list"
while read -r file; do
    case $file in
    *.gz | *.br) ;;
    *) entry web "${file#build/web/}" "$file" <"$file" ;;
    esac
done <"$scratch.list"
close_table web
# One name for all of it: what the pages load is addressed below it, and never changes there.
printf 'const char embed_web_hash[] = "%s";\n\n' \
    "$(xargs -d '\n' sha256sum <"$scratch.list" | sha256sum | cut -c1-12)"

entry docs openapi.json <docs/openapi.json
entry docs asyncapi.json <docs/asyncapi.json
close_table docs
