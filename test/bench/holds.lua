-- SPDX-License-Identifier: MIT
-- wrk: sends POST WRK_PATH with the body WRK_BODY once for each line of WRK_LINES (a header line), and stops
-- after the last answer: both sides must fill the hall with the same number of holds. A connection that has
-- nothing left to send asks for /livez until then. Answers of 201 count, 200 to /livez is ignored, all others
-- are errors.
local ffi = require('ffi')
ffi.cdef('typedef struct { long s, ns; } tiketi_time; int clock_gettime(int, tiketi_time *);')
local time = ffi.new('tiketi_time')
local function now()
    ffi.C.clock_gettime(1, time)
    return tonumber(time.s) * 1e6 + tonumber(time.ns) / 1e3
end

local body = os.getenv('WRK_BODY')
local head = string.format('POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n',
    os.getenv('WRK_PATH'), #body)
local lines, sent, answered, bad, began = {}, -1, 0, 0, nil -- wrk asks once before it begins

function init()
    for line in io.lines(os.getenv('WRK_LINES')) do
        lines[#lines + 1] = line
    end
end

function request()
    sent = sent + 1
    began = sent == 1 and now() or began
    if sent > #lines then
        return 'GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n'
    end
    return head .. lines[math.max(sent, 1)] .. '\r\n\r\n' .. body
end

function response(status)
    if status == 200 then
        return
    end
    answered = answered + 1
    if status ~= 201 then
        bad = bad + 1
    end
    if answered == #lines then
        io.write(string.format('{"requests":%d,"us":%d,"bad":%d}\n', answered, now() - began, bad))
        io.flush()
        os.exit(0)
    end
end
