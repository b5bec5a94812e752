#!/bin/sh
# SPDX-License-Identifier: MIT
#
# src/deps.sh GROUP...: installs the missing Debian packages of the groups build, run, shop, test, recipes, browser,
# screenshots, lint, fuzz, bench, deb, image and trixie. Does nothing when all are installed.
#
# An entry is a package, or package=command: then it counts as installed when the command exists,
# whatever installed it. (Two packages of Node.js from different sources would break each other.)

set -eu

build='make gcc libc6-dev pkgconf=pkg-config libmicrohttpd-dev libhiredis-dev libpq-dev
    libwebsockets-dev libwebsockets-evlib-uv libjansson-dev libunistring-dev libicu-dev libuv1-dev libssl-dev
    libcurl4-openssl-dev libhttp-parser-dev libwslay-dev libjemalloc-dev libqrencode-dev libxxhash-dev zlib1g-dev'
# A release's archive has the built web/, and needs these only after a change of it.
[ -d "$(dirname "$0")/../web_built" ] || build="$build esbuild=esbuild brotli=brotli nodejs=node npm=npm"
run='redis-server=redis-server postgresql postgresql-client=psql curl=curl jq=jq'
test="$run pgbouncer libcmocka-dev nodejs=node npm=npm procps=ps nginx-light=nginx haproxy=haproxy
    prometheus=promtool prometheus-alertmanager=amtool mandoc=mandoc systemd=systemd-analyze zsh=zsh kcat=kcat"
shop='nginx-light=nginx nodejs=node'
# What docs/integrate is tried with. (Go and Java are left out where they are not there: they are large.)
recipes='nginx-light=nginx haproxy=haproxy caddy=caddy apache2-bin=apache2 lua-socket php-cli=php python3-jwt python3-cryptography'
browser='nodejs=node npm=npm chromium=chromium'
screenshots='fonts-inter fonts-noto-cjk pngquant=pngquant'
lint='clang-format=clang-format clang-tidy=clang-tidy shellcheck=shellcheck
    nodejs=node npm=npm'
fuzz='clang=clang libclang-rt-dev'
bench='wrk=wrk linux-perf=perf'
deb='build-essential debhelper=dh lintian=lintian mmdebstrap=mmdebstrap'
trixie='mmdebstrap=mmdebstrap'
image="$trixie buildah=buildah"

installed() {
    case $1 in
    *=*) command -v "${1#*=}" >/dev/null && return ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "${1%%=*}" 2>/dev/null)" = installed ]
}

wanted=
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    run) wanted="$wanted $run" ;;
    test) wanted="$wanted $test" ;;
    shop) wanted="$wanted $shop" ;;
    recipes) wanted="$wanted $recipes" ;;
    browser) wanted="$wanted $browser" ;;
    screenshots) wanted="$wanted $screenshots" ;;
    lint) wanted="$wanted $lint" ;;
    fuzz) wanted="$wanted $fuzz" ;;
    bench) wanted="$wanted $bench" ;;
    deb) wanted="$wanted $deb" ;;
    trixie) wanted="$wanted $trixie" ;;
    image) wanted="$wanted $image" ;;
    *)
        echo "usage: src/deps.sh build|run|shop|test|recipes|browser|screenshots|lint|fuzz|bench|deb|image|trixie ..." >&2
        exit 64
        ;;
    esac
done

missing=
for entry in $wanted; do
    installed "$entry" || missing="$missing ${entry%%=*}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "tiketi: this is not Debian; please install the equivalents of:$missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root='sudo'
    if ! command -v sudo >/dev/null; then
        echo "tiketi: installing needs root or sudo; please install:$missing" >&2
        exit 1
    fi
fi

echo "tiketi: installing$missing" >&2
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}
apt update || echo "tiketi: apt-get update failed; trying with the existing package lists" >&2
# shellcheck disable=SC2086  # a list of packages
apt install -y --no-install-recommends $missing
