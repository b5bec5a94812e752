-- SPDX-License-Identifier: MIT
-- wrk: every request joins as a guest nobody has seen yet. WRK_SALT keeps runs apart.
local salt = os.getenv('WRK_SALT') or '0'
local path = os.getenv('WRK_PATH') or '/'
local thread, n = 0, 0

function setup(t)
    t:set('id', thread)
    thread = thread + 1
end

function request()
    n = n + 1
    return string.format('POST %s HTTP/1.1\r\nHost: bench\r\nCookie: tiketi_guest=g:%08x%04x%020x\r\nContent-Length: 0\r\n\r\n',
        path, tonumber(salt), id, n)
end

function done(summary)
    io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"bad":%d}\n', summary.requests, summary.duration,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status))
end
