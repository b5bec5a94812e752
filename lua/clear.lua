-- SPDX-License-Identifier: MIT
--
-- clear: begins a new epoch: nobody waits or is inside any more.
--
-- KEYS  as in shared.lua
-- ARGV  1  the new epoch, already committed in PostgreSQL
-- REPLY OK and the numbers, then applied (0: this epoch or a later one is already in force)
--       NOCONFIG
--
-- Invariants: the epoch never falls; tickets and passes of older epochs are worthless. seq stays,
-- so places go on rising. One log entry of kind cleared ends all admissions of the old epoch.

if not open() then
    return {'NOCONFIG'}
end
settle()
local epoch, applied = num(ARGV[1]), 0
if epoch > ev.epoch then
    forget(epoch)
    applied = 1
end
local reply = numbers()
reply[11] = applied
return reply
