-- SPDX-License-Identifier: MIT
--
-- clear: begins a new epoch: removes all buyers from the queue and from the inside.
--
-- KEYS  as in shared.lua
-- ARGV  1  the new epoch, already committed in PostgreSQL
-- REPLY OK and the numbers, then applied (0: this epoch or a later one was in force before the call)
--       NOCONFIG
--
-- Invariants: the epoch never falls. Tickets and passes of older epochs are worthless. seq stays, so
-- new places are above the old ones. One log entry of kind cleared ends all admissions of the old epoch.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('HSET', K_CONFIG, 'UNLINK', K_QUEUE, 'XADD', K_LOG, 'HINCRBY', K_STATS, 'HGET', K_STATS)
bring_up_to_date()
local epoch, applied = num(ARGV[1]), 0
if epoch > ev.epoch then
    forget(epoch)
    applied = 1
end
local reply = numbers()
reply[11] = applied
return reply
