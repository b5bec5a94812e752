#!/bin/sh
# SPDX-License-Identifier: MIT
#
# src/runtime_packages.sh PROGRAM...: the Debian packages, one a line, that these programs need where they run: those of
# the libraries they are linked with, and those that no linker shows. Needs binutils. Fails when a library is missing.

set -eu
export LC_ALL=C

# libwebsockets loads its event loop by name when it starts (include/net/ws.h): without it no gateway starts.
# Certificate authorities: identity providers, push services, mail servers, the shop's keys, PostgreSQL with verify-full.
unseen='libwebsockets-evlib-uv ca-certificates'

# The package of a file: dpkg knows it by the name it had before /lib became a link to /usr/lib, or after.
package_of() {
    real=$(readlink -f "$1")
    for name in "$1" "$real" "/usr$1" "${real#/usr}"; do
        found=$(dpkg-query -S "$name" 2>/dev/null | head -n 1 | cut -d : -f 1) || true
        [ -z "$found" ] || { echo "$found"; return; }
    done
    echo "src/runtime_packages.sh: no package has $1" >&2
    return 1
}

libraries=
for program in "$@"; do
    linked=$(ldd "$program")
    case $linked in *'not found'*)
        printf 'src/runtime_packages.sh: %s:\n%s\n' "$program" "$linked" >&2
        exit 1
        ;;
    esac
    for library in $(objdump -p "$program" | sed -n 's/^ *NEEDED *//p'); do
        path=$(printf '%s\n' "$linked" | sed -n "s/^[[:space:]]*$library => \([^ ]*\) .*/\1/p")
        libraries="$libraries ${path:?$library}"
    done
done
packages=$unseen
for path in $(printf '%s\n' $libraries | sort -u); do
    package=$(package_of "$path")
    packages="$packages $package"
done
printf '%s\n' $packages | sort -u
