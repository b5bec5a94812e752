#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The order of the folders: a file includes headers of its own folder and of the folders below it, never
# of one above. The roles api, gateway and processor meet in Redis and never include each other; the
# programs crowd, provider, simulate, ctl and proxy stand beside the service, and nothing of the service includes them.
#
# Within a folder no two files include each other (a file is x.c with x.h and x_internal.h), and a header in
# src/ is for the files of its own folder and for tests.
#
# One library, one includer: only the files named here include a library's headers.

set -u
cd "$(dirname "$0")/../.." || exit 1

awk '
BEGIN {
    # --- the folders, bottom first, and those each may include ------------------------------
    folder("base", "")
    folder("net", "base")
    folder("auth", "base net")
    folder("queue", "base net auth")
    folder("selling", "base net auth queue")
    folder("page", "base net auth queue selling")
    folder("api", "base net auth queue selling page")
    folder("gateway", "base net auth queue selling page")
    folder("processor", "base net auth queue selling page")
    folder("main", "base net auth queue selling page api gateway processor")
    folder("client", "base net")
    folder("crowd", "base net auth queue selling page client")
    folder("provider", "base net auth queue selling page client")
    folder("simulate", "base queue")
    folder("ctl", "base auth queue")
    folder("proxy", "base")

    # --- the only includers of each library -----------------------------------------------
    library("microhttpd.h", "httpd.c http_req.c http_req_internal.h")
    library("hiredis/", "redis_reader.c redis_reply.c")
    library("libpq-fe.h", "db_link.c db_migrate.c db_endpoint.c db_stmt.c")
    library("libwebsockets.h", "ws.c ws_context.c ws_context.h")
    library("jansson.h", "json.c")
    library("qrencode.h", "qr.c")
    library("zlib.h", "shared_text.c")
    library("unicode/", "locale.c")
    library("uninorm.h", "text.c")
    library("unictype.h", "text.c")
    library("unistr.h", "text.c")
    library("uv.h", "loop.c ws_context.c dial.c")
    library("openssl/", "ca_file.c redis_args.c redis_tls.c jws.c mac.c token.c p256.c p256.h push_seal.c vapid.c")
    library("curl/", "http_client.c ctl_http.c")
    library("http_parser.h", "dial.c")
    library("wslay/", "dial_frame.c")

    while (("ls include/*/*.h src/*.[ch] src/*/*.[ch] 2>/dev/null" | getline file) > 0) {
        files++
        check(file)
    }
    if (files < 100) complain("layers.sh found " files + 0 " files: it does not look where they are")
    for (pair in includes) {
        split(pair, ends, SUBSEP)
        if (ends[1] < ends[2] && ((ends[2], ends[1]) in includes))
            complain(ends[1] " and " ends[2] " include each other")
    }
    exit failed
}

function folder(name, below,    list, n, i) {
    known[name] = 1
    allowed[name, name] = 1
    n = split(below, list, " ")
    for (i = 1; i <= n; i++) allowed[name, list[i]] = 1
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
# folder_of: src/queue/queue.c -> queue, src/main.c -> main, queue/queue.h -> queue, worker.h -> main
function folder_of(path) {
    sub(/^(src|include)\//, "", path)
    if (path !~ /\//) return "main"
    sub(/\/.*$/, "", path)
    return path
}
# noun_of: src/queue/queue_internal.h -> queue/queue
function noun_of(path) {
    sub(/^(src|include)\//, "", path)
    sub(/(_internal)?\.[ch]$/, "", path)
    return path
}
function exists(path,    line, found) {
    found = (getline line < path) >= 0
    close(path)
    return found
}
function check(file,    line, number, name, self, base) {
    self = folder_of(file)
    base = file
    sub(/^.*\//, "", base)
    if (!(self in known))
        return complain(file ": folder " self " has no place in the order; name it in test/lint/layers.sh")
    while ((getline line < file) > 0) {
        number++
        if (line ~ /^ *# *include *"/) {
            split(line, quoted, "\"")
            name = folder_of(quoted[2])
            if (!((self, name) in allowed))
                complain(file ":" number ": " self " may not include " quoted[2])
            else if (name != self && !exists("include/" quoted[2]))
                complain(file ":" number ": " quoted[2] " is for the files of " name " alone")
            else if (name == self && noun_of(quoted[2]) != noun_of(file))
                includes[noun_of(file), noun_of(quoted[2])] = 1
        } else if (line ~ /^ *# *include *</) {
            name = line
            sub(/^[^<]*</, "", name)
            for (prefix in libraries)
                if (index(name, prefix) == 1 && !((prefix, base) in owner))
                    complain(file ":" number ": " prefix " belongs to " libraries[prefix])
        }
    }
    close(file)
}' </dev/null || exit 1

# Nothing of the programs beside the service is linked into it.
if [ -e build/tiketi ] && nm --defined-only build/tiketi 2>/dev/null | grep -qE ' [Tt] (crowd|provider|dial|simulate|ctl|proxy)_'; then
    echo 'build/tiketi contains code of crowd, provider, client, simulate, ctl or proxy'
    exit 1
fi
