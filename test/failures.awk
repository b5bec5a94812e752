#!/usr/bin/awk -f
# SPDX-License-Identifier: MIT
#
# Prints from node's TAP only what failed: each "not ok" line with the block that explains
# it, and the diagnostics a test wrote itself.

/^ *not ok / { print; explain = 1; end = ""; next }
/^ *ok / { explain = 0; next }
explain && end == "" && /^ *---$/ { end = $0; sub(/---/, "...", end); next }
explain && $0 == end { explain = 0; next }
explain && /^ *(duration_ms|type|failureType|location|code): / { next }
explain { print; next }
/^ *# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) / { next }
/^ *# Subtest: / { next }
/^ *# / { print }
