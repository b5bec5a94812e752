-- SPDX-License-Identifier: MIT
--
-- free: the ledger writes how many seats are free after it has consumed the log up to an entry, and
-- the log is trimmed.
--
-- KEYS  as in shared.lua
-- ARGV  1  seats free
--       2  admissions (n of the log) that have their seats by then
--       3  id of the last log entry consumed; 0-0: none yet
--       4  entries that the log keeps at least
-- REPLY OK and the numbers, then applied (0: a later state is already there)
--       NOCONFIG
--
-- An entry that the log does not have was lost while the ledger consumed it: the seats are free all
-- the same, but nothing more of this very log was consumed, so id stays and nothing is trimmed.
--
-- Invariants: an older state never replaces a newer one. Entries not consumed are never trimmed.
-- free.id is an entry of this very log that was consumed. stats.admitted is at least what was
-- consumed, so the count goes on after a loss of data.

if not open() then
    return {'NOCONFIG'}
end
settle()

local stored = call('HMGET', K_FREE, 'id', 'admitted')
local known = #call('XRANGE', K_LOG, ARGV[3], ARGV[3]) > 0
local applied = 0
if not (stored[1] and older(ARGV[3], stored[1])) then
    local count = max(num(ARGV[2]), num(stored[2]))
    local id = known and ARGV[3] or stored[1] or '0-0'
    call('HSET', K_FREE, 'free', ARGV[1], 'admitted', text(count), 'id', id)
    if admitted() < count then
        call('HSET', K_STATS, 'admitted', text(count))
    end
    applied = 1
end
local excess = call('XLEN', K_LOG) - num(ARGV[4])
if known and excess > 0 then
    call('XTRIM', K_LOG, 'MINID', '~', ARGV[3], 'LIMIT', excess)
end

local reply = numbers()
reply[11] = applied
return reply
