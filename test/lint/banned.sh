#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Functions that have a bounded, reentrant or checkable sister.

cd "$(dirname "$0")/../.." || exit 1
! grep -nEw '(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|localtime|gmtime|asctime|ctime)[[:space:]]*\(' \
    src/*.[ch] src/*/*.[ch] include/*/*.h test/unit/*/*.[ch] test/fuzz/*.[ch] test/bench/*.[ch] 2>/dev/null
