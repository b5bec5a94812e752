#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/program.sh LOGS SUITE NAME: runs one TAP program of the suites unit and corpus. Its output
# goes to LOGS/NAME.log, its exit status to LOGS/NAME.status. test/run.sh runs several side by side.

logs=$1 name=$3
export CMOCKA_MESSAGE_OUTPUT=tap
case $2 in
unit)
    source=$(find test/unit -name "$name.c")
    source=${source#test/}
    set -- "$TIKETI_OUT/${source%.c}"
    ;;
corpus) set -- "$TIKETI_OUT/replay/${name#replay_}" "test/fuzz/corpus/${name#replay_}"/* ;;
esac
setpriv --pdeathsig TERM "$@" >"$logs/$name.log" 2>&1 </dev/null
echo $? >"$logs/$name.status"
