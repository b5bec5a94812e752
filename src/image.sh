#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Behind `make image` and `make sbom`.
#
#   src/image.sh build   builds the image of what is committed, from its source archive (src/dist.sh)
#   src/image.sh sbom    copies that image's bill of materials to build/tiketi-<version>.spdx.json
#
# With docker, podman or buildah, whichever is there and answers first. IMAGE_TOOL is another command line, such as
# "buildah --storage-driver vfs"; IMAGE the name, by default tiketi:<version>; BASE the base, by default the Dockerfile's;
# IMAGE_ARGS further arguments of the build.

set -eu
cd "$(dirname "$0")/.."

# Docker's client may be there without its service.
if [ -z "${IMAGE_TOOL:-}" ]; then
    for IMAGE_TOOL in docker podman buildah ''; do
        if [ -n "$IMAGE_TOOL" ] && command -v "$IMAGE_TOOL" >/dev/null && $IMAGE_TOOL info >/dev/null 2>&1; then break; fi
    done
    [ -n "$IMAGE_TOOL" ] || {
        echo 'src/image.sh: neither docker, podman nor buildah answers' >&2
        exit 1
    }
fi
version=$(src/version.sh | cut -d ' ' -f 1)
image=${IMAGE:-tiketi:$version}
format=
case $IMAGE_TOOL in *podman* | *buildah*) format='--format docker' ;; esac # OCI's own has no health check

build() {
    git diff-index --quiet HEAD -- || echo 'src/image.sh: what is not committed is not in the image' >&2
    src/dist.sh >&2
    context=$(mktemp -d build/image.XXXXXX)
    trap 'rm -rf "$context"' EXIT
    tar -xzf "build/tiketi-$version.tar.gz" -C "$context" --strip-components=1
    # shellcheck disable=SC2086  # a command line, and lists of arguments
    $IMAGE_TOOL build $format --tag "$image" ${BASE:+--build-arg "BASE=$BASE"} --build-arg "VERSION=$version" \
        --build-arg "REVISION=$(git rev-parse HEAD)" --build-arg "CREATED=$(git log -1 --format=%cI)" ${IMAGE_ARGS:-} "$context" >&2
    echo "$image"
}

sbom() {
    path=/usr/share/doc/tiketi/sbom.spdx.json
    target=build/tiketi-$version.spdx.json
    case $IMAGE_TOOL in
    *buildah*)
        container=$($IMAGE_TOOL from --pull-never "$image")
        $IMAGE_TOOL run "$container" -- cat "$path" >"$target" || status=$?
        $IMAGE_TOOL rm "$container" >/dev/null
        ;;
    *) $IMAGE_TOOL run --rm --entrypoint cat "$image" "$path" >"$target" || status=$? ;;
    esac
    [ "${status:-0}" -eq 0 ] || {
        echo "src/image.sh: $image has no $path: is it built (make image)?" >&2
        rm -f "$target"
        exit 1
    }
    echo "$target"
}

case ${1-} in
build | sbom) "$1" ;;
*)
    echo 'usage: src/image.sh build|sbom' >&2
    exit 64
    ;;
esac
