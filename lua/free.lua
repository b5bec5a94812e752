-- SPDX-License-Identifier: MIT
--
-- free: the log consumer tells how many seats are free after it has consumed the log up to some
-- entry, and lets the log be trimmed.
--
-- KEYS  as in shared.lua
-- ARGV  1  seats free
--       2  admissions (n of the log) that have got their seats by then
--       3  id of the last log entry consumed; 0-0: none yet
--       4  entries the log keeps at least, however far it is consumed
-- REPLY OK and the numbers, then applied (0: a later one is already there)
--       NOCONFIG
--
-- Invariants: an older one never replaces a newer. Entries not consumed are never trimmed.
-- stats.admitted is at least what was consumed, so after a loss of Redis the count goes on.

if not open() then
    return {'NOCONFIG'}
end
settle()

local stored = call('HMGET', K_FREE, 'id', 'admitted')
local applied = 0
if not (stored[1] and older(ARGV[3], stored[1])) then
    local count = max(num(ARGV[2]), num(stored[2]))
    call('HSET', K_FREE, 'free', ARGV[1], 'admitted', text(count), 'id', ARGV[3])
    if admitted() < count then
        call('HSET', K_STATS, 'admitted', text(count))
    end
    applied = 1
end
local excess = call('XLEN', K_LOG) - num(ARGV[4])
if excess > 0 then
    call('XTRIM', K_LOG, 'MINID', '~', ARGV[3], 'LIMIT', excess)
end

local reply = numbers()
reply[11] = applied
return reply
