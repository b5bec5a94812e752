#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Behind `make install` and `make uninstall`: src/install.sh install|uninstall. Both go through the same list, so that what one
# writes the other removes. Never touched: /etc/tiketi, users, services.
#
#   DESTDIR   a folder that stands for / (a package's)
#   PREFIX    /usr/local
#   PROGRAMS  the programs, tiketi itself first
#   UNITDIR, SYSUSERSDIR, BASHDIR, ZSHDIR  where a system has them elsewhere; "none": not at all

set -eu

: "${DESTDIR:=}" "${PREFIX:=/usr/local}"
: "${PROGRAMS:?the programs to install: see make install}"
cd "$(dirname "$0")/.."
case $PREFIX in
/*) ;;
*)
    echo "src/install.sh: PREFIX must be a path from /, not '$PREFIX'" >&2
    exit 64
    ;;
esac
PREFIX=${PREFIX%/}
: "${UNITDIR:=$PREFIX/lib/systemd/system}" "${SYSUSERSDIR:=$PREFIX/lib/sysusers.d}"
: "${BASHDIR:=$PREFIX/share/bash-completion/completions}" "${ZSHDIR:=$PREFIX/share/zsh/site-functions}"
doc=$PREFIX/share/doc/tiketi

mode=${1-}
case $mode in
install | uninstall) ;;
*)
    echo 'usage: src/install.sh install|uninstall' >&2
    exit 64
    ;;
esac

# put MODE FILE TARGET; link TO TARGET. A target below "none" is left out.
put() {
    case $3 in none/*) return ;; esac
    if [ "$mode" = install ]; then
        install -D -m "$1" "$2" "$DESTDIR$3"
    else
        remove "$2" "$3"
    fi
}
link() {
    case $2 in none/*) return ;; esac
    if [ "$mode" = install ]; then
        mkdir -p "$DESTDIR$(dirname "$2")"
        ln -sf "$1" "$DESTDIR$2"
    else
        remove "$1" "$2"
    fi
}
# Only our own folders are removed with their last file.
remove() {
    rm -f "$DESTDIR$2"
    folder=$(dirname "$2")
    while case $folder in "$doc" | "$doc"/*) true ;; *) false ;; esac; do
        rmdir "$DESTDIR$folder" 2>/dev/null || break
        folder=$(dirname "$folder")
    done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tiketi=${PROGRAMS%% *}
DOCDIR=$doc src/man.sh "$tiketi" "$work/man"
for shell in bash zsh; do "$tiketi" ctl completion "$shell" >"$work/$shell"; done
sed "s|/usr/bin/tiketi|$PREFIX/bin/tiketi|; s|/usr/share/doc|$PREFIX/share/doc|" packaging/tiketi.service >"$work/unit"

for program in $PROGRAMS; do
    name=${program##*/}
    put 755 "$program" "$PREFIX/bin/$name"
    [ "$name" = tiketi ] || link tiketi "$BASHDIR/$name"
done
put 644 "$work/bash" "$BASHDIR/tiketi"
put 644 "$work/zsh" "$ZSHDIR/_tiketi"
for page in "$work"/man/*; do put 644 "$page" "$PREFIX/share/man/man${page##*.}/${page##*/}"; done
put 644 "$work/unit" "$UNITDIR/tiketi.service"
put 644 packaging/tiketi.sysusers "$SYSUSERSDIR/tiketi.conf"
put 644 packaging/tiketi.ini "$doc/examples/tiketi.ini"
for file in README.md CHANGELOG.md SECURITY.md CONTRIBUTING.md LICENSE; do put 644 "$file" "$doc/$file"; done
put 644 build/web/licenses.txt "$doc/licenses-of-pages.txt"
# The pictures stay where they are: the documents alone are smaller by ten times.
find docs monitoring -type f ! -path 'docs/screenshots/*' ! -path 'monitoring/tests/*' ! -path 'monitoring/*.mjs' >"$work/docs"
while read -r file; do put 644 "$file" "$doc/$file"; done <"$work/docs"
