-- SPDX-License-Identifier: MIT
--
-- configure: writes the live copy of an event's settings, from its record in PostgreSQL.
--
-- KEYS  as in shared.lua
-- ARGV  1  version   2  epoch
--       3  opened: 1 if places of this event have been given
--       4  highest place that PostgreSQL knows of; 0: none
--       5  length of a restore window, ms
--       6  number of free seats
--       7  number of admissions (n of the log) that had their seats by then
--       8  id of the log entry up to which that number holds; '': items 6 and 7 are unknown
--       then a name and a value for each setting of config:{id} (docs/redis-keys.md)
-- REPLY OK and the numbers, then applied (1: the settings were written)
--
-- The settings are written if their version is greater than the stored one, or if none are stored.
-- A greater epoch begins as in clear.lua. The fields of config:{id} that the scripts keep themselves
-- stay as they are.
--
-- This is one of the two places that open the restore window; the other is bring_up_to_date in
-- shared.lua, which join and promote call with the highest place that they know. Here it opens if no
-- settings are stored although places have been given (Redis has lost everything, or expire.lua has deleted
-- it), or if PostgreSQL knows a place above seq (Redis has lost its last writes). When a closed event opens again before its
-- consumed places were loaded, it opens anew: buyers have the whole of it to come back.
--
-- free:{id} is written only if it does not exist, so that the first buyers need not wait for the
-- ledger. Item 8 may be an entry of a log that is lost, so free.id becomes 0-0.
--
-- A changed outflowPerMinute is logged, so that whoever replays the log knows the limit in force.
--
-- A draft in Redis is a rehearsal that was taken back: its epoch is a new one, and it has no counters and no log.
--
-- The count of admissions goes on after a loss of data, so that no two admissions of a place have the same
-- number.
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

-- Another outflowPerMinute begins: it is logged, and the bucket keeps what it holds, up to its new size.
local function note_outflow()
    local before = num((call('HGET', K_CONFIG, 'outflow') or ''):match('^%d+ %d+ (%d+)$'))
    if ev.outflow ~= before then
        outflow_tokens()
        outflow_write()
        record('outflow', '', text(ev.outflow), ev.inside, admitted())
    end
end

must_may('HSET', K_CONFIG, 'SET', K_SEQ, 'UNLINK', K_QUEUE, 'XADD', K_LOG, 'HINCRBY', K_STATS,
    'HGET', K_STATS, 'EXISTS', K_FREE, 'TIME', K_CONFIG, 'GET', K_SEQ, 'ZCARD', K_QUEUE, 'SCARD', K_ACTIVE)
local applied = 0
if not read_event() then
    call('HSET', K_CONFIG, 'epoch', text(epoch))
    write()
    read_event()
    bring_up_to_date()
    applied = 1
    if ARGV[3] == '1' and known > 0 then
        open_restore_window(known)
    end
else
    local newer, reopened = version > ev.version, false
    if newer then
        local was_closed = ev.status == 'closed'
        write()
        read_event()
        applied = 1
        reopened = was_closed and ev.status ~= 'closed' and not ev.consumed_loaded
    end
    bring_up_to_date(known)
    if reopened then -- the window that a visit to the closed event opened may be over
        open_restore_window(known)
    end
    if epoch > ev.epoch then
        forget(epoch)
    end
end
if applied == 1 and ev.status == 'draft' then -- a rehearsal that was reset: what it counted and logged goes, too
    call('UNLINK', K_STATS, K_LOG, K_FREE, K_BANNED)
    call('HSET', K_CONFIG, 'outflow', '', 'bans', 0)
elseif applied == 1 then
    note_outflow()
end
if known > ev.seq then
    ev.seq = known
    call('SET', K_SEQ, text(known))
end
if ARGV[8] ~= '' and ev.seats > 0 and call('EXISTS', K_FREE) == 0 then
    call('HSET', K_FREE, 'free', ARGV[6], 'admitted', ARGV[7], 'id', '0-0')
end
if ARGV[8] ~= '' and admitted() < num(ARGV[7]) then
    call('HSET', K_STATS, 'admitted', ARGV[7])
end

local reply = numbers()
reply[11] = applied
return reply
