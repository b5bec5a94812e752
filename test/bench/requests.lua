-- SPDX-License-Identifier: MIT
-- wrk: WRK_METHOD WRK_PATH, each time with another header line: that of WRK_LINES (a file, from the
-- first to the last and around again), else the cookie of a guest whom nobody has seen yet, given today
-- (WRK_SALT keeps runs apart).
local salt = tonumber(os.getenv('WRK_SALT') or '0')
local method = os.getenv('WRK_METHOD') or 'POST'
local path = os.getenv('WRK_PATH') or '/'
local head = string.format('%s %s HTTP/1.1\r\nHost: bench\r\n', method, path)
local tail = method == 'POST' and '\r\nContent-Length: 0\r\n\r\n' or '\r\n\r\n'
local day = math.floor(os.time() / 86400)
local lines, n = nil, 0

function init()
    local name = os.getenv('WRK_LINES')
    if name and name ~= '' then
        lines = {}
        for line in io.lines(name) do
            lines[#lines + 1] = line
        end
    end
end

function request()
    n = n + 1
    if lines then
        return head .. lines[n % #lines + 1] .. tail
    end
    return string.format('%sCookie: tiketi_guest=g:%08x%024x.%d%s', head, salt, n, day, tail)
end

function done(summary)
    io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"bad":%d}\n', summary.requests, summary.duration,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status))
end
