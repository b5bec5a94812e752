-- SPDX-License-Identifier: MIT
--
-- free: stores how many seats are free now that the ledger has consumed the log up to an entry, and
-- trims the log.
--
-- KEYS  as in shared.lua
-- ARGV  1  number of free seats
--       2  number of admissions (n of the log) that have their seats
--       3  id of the last log entry consumed; 0-0: none yet
--       4  minimum number of entries that the log keeps
-- REPLY OK and the numbers, then applied (0: free:{id} has a later state)
--       NOCONFIG
--
-- If Redis lost the consumed entry meanwhile, the number of free seats is stored all the same, but
-- free.id stays as it is and nothing is trimmed: of the present log no further entry was consumed.
--
-- When more seats are left for those who wait, the lease holder is told (hint).
--
-- Invariants: an older state never replaces a newer one. An entry that was not consumed is never
-- trimmed. free.id is a consumed entry of the present log, or 0-0. stats.admitted is at least item 2,
-- so that the count goes on after a loss of data.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('HSET', K_FREE, 'HGET', K_STATS, 'XLEN', K_LOG, 'XTRIM', K_LOG, 'HSET', K_CONFIG)
bring_up_to_date()

local stored = call('HMGET', K_FREE, 'id', 'admitted')
local left_before = seats_left()
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
    if left_before and seats_left() > left_before then
        hint()
    end
end
local excess = call('XLEN', K_LOG) - num(ARGV[4])
if known and excess > 0 then
    call('XTRIM', K_LOG, 'MINID', '~', ARGV[3], 'LIMIT', excess)
end

local reply = numbers()
reply[11] = applied
return reply
