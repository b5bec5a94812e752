#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/k8s/tool.sh kustomize|docker-compose: prints the path of a kustomize of version 5, or of a Compose of version 2. Debian 12
# has neither, and its kubectl is too old to read k8s/base; those of Debian 13 are programs of one file. So one is taken out
# of its package, which apt fetches and verifies as any other, into build/tools; nothing is installed. KUSTOMIZE and
# DOCKER_COMPOSE name others. Compose reads a file without a daemon.

set -eu
cd "$(dirname "$0")/../.."

name=$1
case $name in
kustomize)
    given=${KUSTOMIZE:-} inside=usr/bin/kustomize suits='v5\.|^\(devel\)$'
    ;;
docker-compose)
    given=${DOCKER_COMPOSE:-} inside=usr/libexec/docker/cli-plugins/docker-compose suits='version v?[2-9]\.|version [1-9][0-9]+\.'
    ;;
*)
    echo "usage: test/k8s/tool.sh kustomize|docker-compose" >&2
    exit 64
    ;;
esac

if [ -n "$given" ]; then
    echo "$given"
    exit
fi
if command -v "$name" >/dev/null && "$name" version 2>/dev/null | grep -Eq "$suits"; then
    command -v "$name"
    exit
fi
tool=$PWD/build/tools/$name
mkdir -p build/tools
exec 9>build/tools/lock
flock 9
if [ ! -x "$tool" ]; then
    command -v apt-get >/dev/null || {
        echo "test/k8s/tool.sh: this is not Debian; please install $name" >&2
        exit 1
    }
    # The mirror that this machine uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | grep -v security | head -n 1) || true
    apt=$PWD/build/tools/apt
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} trixie main" >"$apt/sources.list"
    private() {
        apt-get -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
            -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@" >&2
    }
    private update
    (cd "$apt" && private download "$name" && dpkg-deb -x "$name"_*.deb root)
    cp "$apt/root/$inside" "$tool.new"
    mv "$tool.new" "$tool"
    rm -rf "$apt"
fi
echo "$tool"
