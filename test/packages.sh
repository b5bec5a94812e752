#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The npm packages that the tests and the lint use, installed when package.json asks for others
# than are there. The program itself needs no Node.js.

set -eu
cd "$(dirname "$0")/.."
cmp -s package.json node_modules/.tiketi-package.json && exit
npm=ci
[ -e package-lock.json ] || npm=install
npm "$npm" --no-audit --no-fund --loglevel=error
cp package.json node_modules/.tiketi-package.json
