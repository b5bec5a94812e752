#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds what the binary carries of web/ into build/web: templates and messages as they are; of each page one script and
# one style, bundled and minified by esbuild, with a gzip and a brotli copy of what browsers load. How a page is added:
# docs/add-a-page.md. Does nothing when build/web was made from the same sources.
#
#   x.css        of which there is an x.html       -> x.css
#   x.js         of which there is an x.html       -> x.js, or x.<language>.js if it has texts
#   *_first.js   runs before the page is painted   -> the same name, or by language
#   *_worker.js  a worker                          -> the same name, or by language
#   turn.js      for the pages of shops            -> the same name
#
# A script that imports 'messages' (i18n.js does) is made once for each language, with the messages that it can name:
# those whose key, or the key before .one and .other, stands as a text in one of its sources; a template counts with
# anything in place of ${…}. What a page imports from npm (package.json, "dependencies") is bundled with it; licenses.txt has the
# licenses of that.
#
# A source archive of a release (make dist) has the result in web_built/, which is taken where esbuild is not needed:
# when web/ is as it was. A change of web/ there asks for esbuild and brotli.

set -eu
export LC_ALL=C

cd "$(dirname "$0")/.."

[ -n "$(find web -name '*.html')" ] || {
    echo 'src/web.sh: no templates below web/' >&2
    exit 1
}
target=es2022 # what the pages' scripts are written in: private methods, ??=
out=build/web

sources=$(find web src/web.sh package-lock.json -type f ! -name '.*' | sort | xargs -d '\n' sha256sum | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$out/.sources" 2>/dev/null)" != "$sources" ] || exit 0

mkdir -p build
work=$(mktemp -d build/web.XXXXXX)
trap 'rm -rf "$work"' EXIT

# finish: the new folder takes the place of the old one.
finish() {
    printf '%s\n' "$sources" >"$1/.sources"
    chmod 755 "$1"
    rm -rf "$out"
    mv "$1" "$out"
}

if [ "$(cat web_built/.sources 2>/dev/null)" = "$sources" ]; then
    cp -r web_built "$work/web"
    finish "$work/web"
    exit
fi
for command in esbuild brotli npm; do
    command -v "$command" >/dev/null || {
        echo "src/web.sh: $command is missing (src/deps.sh build); a release's archive needs it only after a change of web/" >&2
        exit 1
    }
done
src/packages.sh web

bundle() {
    esbuild "$@" --bundle --minify --legal-comments=none --charset=utf8 --log-level=warning
}

# keys_of FILE...: a regular expression of the keys that these sources name.
keys_of() {
    cat "$@" | grep -oE "'[a-z][A-Za-z0-9_.-]*'|\`[a-z]+_[A-Za-z0-9_.-]*\\\$\{[^\`]*\`" | tr -d "'\`" |
        sed -E 's/\$\{[^}]*\}/[^"]*/g; s/([a-z_])\./\1\\./g' | sort -u | paste -s -d '|'
}

# messages_of FILE...: the messages of $language that these sources name, as JSON. One message is one line.
messages_of() {
    echo '{'
    grep -E "^  \"($(keys_of "$@"))(\.[a-z]+)?\": " "web/messages/$language.json" | sed '$ s/,$//'
    echo '}'
}

# script NAME: web/NAME.js as a bundle, or as one for each language.
script() {
    bundle "web/$1.js" --external:messages --format=esm --target="$target" --metafile="$work/inputs" --outfile="$work/plain"
    inputs=$(grep -oE '^    "web/[^"]*": \{' "$work/inputs" | cut -d '"' -f 2)
    if ! grep -q 'path": "messages"' "$work/inputs"; then
        mv "$work/plain" "$work/web/$1.js"
        return
    fi
    for file in web/messages/*.json; do
        language=$(basename "$file" .json)
        # shellcheck disable=SC2086  # a list of files
        messages_of $inputs >"$work/messages.json"
        bundle "web/$1.js" --alias:messages="./$work/messages.json" --format=esm --target="$target" --outfile="$work/web/$1.$language.js"
    done
}

mkdir "$work/web"
for file in $(cd web && find . -type f ! -name '*.js' ! -name '*.css' ! -name '.*'); do
    mkdir -p "$work/web/$(dirname "$file")"
    cp "web/$file" "$work/web/$file"
done
for file in web/*.js; do
    name=$(basename "$file" .js)
    case $name in
    *_first | *_worker | turn) script "$name" ;;
    *) [ ! -e "web/$name.html" ] || script "$name" ;;
    esac
done
for file in web/*.css; do
    name=$(basename "$file" .css)
    [ ! -e "web/$name.html" ] || bundle "$file" --outfile="$work/web/$name.css"
done
for package in $(sed -n '/"dependencies"/,/}/s/^    "\([^"]*\)": .*/\1/p' package.json); do
    printf '%s\n\n' "$package"
    cat "node_modules/$package/LICENSE"
    echo
done >"$work/web/licenses.txt"
for file in "$work"/web/*.js "$work"/web/*.css "$work"/web/*.svg; do
    gzip -9nk "$file"
    brotli -k "$file"
done
finish "$work/web"
