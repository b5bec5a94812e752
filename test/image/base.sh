#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/image/base.sh TARGET [PACKAGES]: a minimal Debian 13 (or DEBIAN_RELEASE) in TARGET, a folder or a file x.tar, made from
# Debian's archive, with further packages, comma-separated. Needs root, mmdebstrap, and Debian's archive keys.
# DEBIAN_MIRROR is where the archive is, or lines of a sources.list; without it mmdebstrap knows.

set -eu

target=$1
# shellcheck disable=SC2086  # nothing or one word
mmdebstrap --quiet --variant=minbase ${2:+"--include=$2"} "${DEBIAN_RELEASE:-trixie}" "$target" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
