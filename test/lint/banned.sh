#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Functions that have a bounded, reentrant or checkable sister.

cd "$(dirname "$0")/../.." || exit 1
files=$(test/lint/files.sh 'src/*.[ch]' 'src/*/*.[ch]' 'include/*/*.h' 'test/unit/*/*.[ch]' 'test/fuzz/*.[ch]' 'test/bench/*.[ch]') || exit 1
# shellcheck disable=SC2086  # a list of files
! grep -nEw '(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|localtime|gmtime|asctime|ctime)[[:space:]]*\(' $files
