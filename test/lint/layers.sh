#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The include rule: a file may include headers of lower layers and its own; never of its own
# layer or above. What is allowed besides stands in this file and nowhere else.
#
# And one library, one includer: only the file named for it may include a library's headers.
#
# Files that share a noun are one module (api.c and api_queue.c, redis.c and redis_link.c): a
# module's files may share its headers.

set -u
cd "$(dirname "$0")/../.." || exit 1

awk '
BEGIN {
    # --- the layers, bottom first ---------------------------------------------------------
    layer(0, "status log clock buf base64url config token claims jws metrics json crash embed table hash prefetch client rate options process csv language messages page reference money")
    layer(1, "loop httpd redis db ws dial agenda")
    layer(2, "event admission catalog queue index lease reservation ledger presence ticket seat brand logos")
    layer(3, "api gateway processor")
    layer(4, "worker crowd provider main")

    # --- same-layer includes that are allowed ---------------------------------------------
    everyone(0, "status log clock buf")     # the words the rest of the base is written in
    everyone(1, "loop")                     # drivers live on the loop
    everyone(2, "event")                    # the noun of the domain
    allow("config", "token")                # keys are checked where they are read
    allow("token", "config jws json claims crash") # keys come from the settings; tickets are JWS of JSON
    allow("claims", "json jws")             # the payload of a JWT
    allow("table", "hash")
    allow("jws", "json base64url")
    allow("messages", "language json embed") # the words, by language, from the embedded files
    allow("catalog", "queue index")         # the live copy of an event, and its rank index
    allow("queue", "index")                 # decodes what lua/index.lua publishes
    allow("lease", "queue")                 # ask queue for Redis keys and scripts
    allow("ledger", "queue reservation")
    allow("presence", "queue")
    allow("seat", "queue")
    allow("logos", "catalog")               # the stored events
    allow("main", "worker crowd provider")

    # --- the only includers of each library -----------------------------------------------
    library("microhttpd.h", "httpd.c httpd_req.c httpd_req.h")
    library("hiredis/", "redis_link.c")
    library("libpq-fe.h", "db.c db_link.c db_migrate.c db_place.c")
    library("libwebsockets.h", "ws.c ws_context.c ws_context.h")
    library("jansson.h", "json.c")
    library("uv.h", "loop.c ws_context.c dial.c")
    library("openssl/", "jws.c token.c")
    library("http_parser.h", "dial.c")
    library("wslay/", "dial_frame.c")

    while (("ls include/*.h src/*.c 2>/dev/null" | getline file) > 0) check(file)
    exit failed
}

function layer(number, names,    list, n, i) {
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) level[list[i]] = number
}
function everyone(number, names,    list, n, i) {
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) shared[number, list[i]] = 1
}
function allow(who, names,    list, n, i) {
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) allowed[who, list[i]] = 1
}
function library(prefix, names,    list, n, i) {
    libraries[prefix] = names
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) owner[prefix, list[i]] = 1
}
function complain(text) {
    print text
    failed = 1
}
# module: src/api_queue.c -> api
function module(file) {
    sub(/^.*\//, "", file)
    sub(/\.[ch]$/, "", file)
    sub(/_.*$/, "", file)
    return file
}
function check(file,    line, number, name, self, base) {
    self = module(file)
    base = file
    sub(/^.*\//, "", base)
    if (!(self in level))
        return complain(file ": no layer; name it in test/lint/layers.sh")
    while ((getline line < file) > 0) {
        number++
        if (line ~ /^ *# *include *"/) {
            split(line, quoted, "\"")
            name = module(quoted[2])
            if (!(name in level)) complain(file ":" number ": " quoted[2] " has no layer")
            else if (!may(self, name))
                complain(file ":" number ": layer " level[self] " (" self ") may not include " \
                    quoted[2] " of layer " level[name])
        } else if (line ~ /^ *# *include *</) {
            name = line
            sub(/^[^<]*</, "", name)
            for (prefix in libraries)
                if (index(name, prefix) == 1 && !((prefix, base) in owner))
                    complain(file ":" number ": " prefix " belongs to " libraries[prefix])
        }
    }
    close(file)
}
function may(self, name) {
    return name == self || level[name] < level[self] || (self, name) in allowed ||
        (level[name] == level[self] && (level[self], name) in shared)
}' </dev/null
