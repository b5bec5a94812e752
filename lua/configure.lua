-- SPDX-License-Identifier: MIT
--
-- configure: writes the live copy of an event's settings, from its record in PostgreSQL.
--
-- KEYS  as in shared.lua
-- ARGV  1  version   2  epoch
--       3  opened: 1 if the event was ever opened
--       4  highest place that PostgreSQL knows of; 0: none
--       5  length of a restore window, ms
--       6  seats free   7  as of this admission   8  and this entry of the log; '': unknown
--       then field and value of each setting: status title artist venue message startsAt opensAt closesAt
--       (ms, 0: none) allowGuests (0|1) seats threshold intervalMs idleTimeoutMs sessionLimitMs
--       holdMs surge ("queueAbove:threshold,…") outflowPerMinute autoHold maxSeats
--       brandName brandPrimary brandBackground brandLogo
-- REPLY OK and the numbers, then applied (1: the settings were written)
--
-- Applies only a greater version, or where nothing is stored. A greater epoch is begun as clear
-- does. What the scripts keep in config:{id} themselves (surgeAt outflow lastRunMs gapMs
-- restoreUntil consumedLoaded consumedChunk) is left alone.
--
-- The restore window opens if nothing is stored though places of this event were given (Redis has
-- lost its data), or if PostgreSQL knows a place above the last one given here (Redis has lost the
-- last of them).
--
-- The seats free are written only where the ledger has not yet said how many there are, so that the
-- first buyers need not wait for it. The entry may belong to a log that is gone: free.id is 0-0.
--
-- Invariants: version and epoch never fall. seq is at least every place known.

local version, epoch, known = num(ARGV[1]), num(ARGV[2]), num(ARGV[4])

local function write()
    local fields = {'version', text(version), 'restoreMs', ARGV[5]}
    for i = 9, #ARGV do
        fields[#fields + 1] = ARGV[i]
    end
    call('HSET', K_CONFIG, unpack(fields))
end

local applied = 0
if not open() then
    call('HSET', K_CONFIG, 'epoch', text(epoch))
    write()
    open()
    settle()
    applied = 1
    if ARGV[3] == '1' and known > 0 then
        restore(known)
    end
else
    local newer = version > ev.version
    if newer then
        write()
        open()
        applied = 1
    end
    settle(known)
    if epoch > ev.epoch then
        forget(epoch)
    end
end
if known > ev.seq then
    ev.seq = known
    call('SET', K_SEQ, text(known))
end
if ARGV[8] ~= '' and ev.seats > 0 and call('EXISTS', K_FREE) == 0 then
    call('HSET', K_FREE, 'free', ARGV[6], 'admitted', ARGV[7], 'id', '0-0')
    if admitted() < num(ARGV[7]) then
        call('HSET', K_STATS, 'admitted', ARGV[7])
    end
end

local reply = numbers()
reply[11] = applied
return reply
