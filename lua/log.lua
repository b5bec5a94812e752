-- SPDX-License-Identifier: MIT
--
-- log: reads entries of the admission log, for the ledger.
--
-- KEYS  as in shared.lua
-- ARGV  1  id of the entry after which to read; 0-0: from the start
--       2  maximum number of entries; at most 500
--       3  1: that id is the ledger's cursor: it has consumed everything up to it
-- REPLY OK and the numbers, then ten items per entry, in the order of the log: id, kind, buyer, place,
--       epoch, at (ms), inside, threshold, n, and 1 if the buyer is still inside by this admission
--       NOCONFIG
--
-- A failover may lose the last entries of the log, or all of it. If the new clock is behind, entries
-- written after that have ids at or below the ledger's cursor, and reading from the cursor would skip
-- them. free:{id} was lost together with the log, so the entry that free.id names is no later than the
-- loss. So with item 3, the entries above free.id and up to the cursor are replied first. The ledger
-- then moves its cursor back below the first of them; an entry that it consumes a second time has no
-- effect (after a crash before free:{id} was written, that happens too). If there are no such entries,
-- the log's next id is raised above the cursor instead.
--
-- Invariants: no entry is written or copied, so a call costs as much as it replies, however long the
-- log is. free.id is never above the log's last id, so it names an entry of the present log.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date()

local after, limit = ARGV[1], min(num(ARGV[2]), 500)

local function last_id()
    local info = call('XINFO', 'STREAM', K_LOG)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return info[i + 1]
        end
    end
end

-- The id of the last consumed entry of the present log; 0-0: none.
local function consumed(last)
    local id = call('HGET', K_FREE, 'id')
    if id and older(last, id) then -- an entry of a log that was lost
        call('HSET', K_FREE, 'id', '0-0')
        return '0-0'
    end
    return id or '0-0'
end

-- The entries at or below the cursor that were not consumed.
local function passed_over()
    if call('EXISTS', K_LOG) == 0 then
        return {}
    end
    must_may('HSET', K_FREE, 'XRANGE', K_LOG, 'XSETID', K_LOG, 'ZSCORE', K_ACTIVE_PLACE)
    local last = last_id()
    local from = consumed(last)
    if not older(from, after) then
        return {}
    end
    local entries = call('XRANGE', K_LOG, '(' .. from, after, 'COUNT', limit)
    if #entries == 0 and older(last, after) then
        call('XSETID', K_LOG, after)
    end
    return entries
end

local entries = ARGV[3] == '1' and passed_over() or {}
if #entries == 0 then
    entries = call('XRANGE', K_LOG, '(' .. after, '+', 'COUNT', limit)
end

local reply = numbers()
for i = 1, #entries do
    local named, list = {}, entries[i][2]
    for j = 1, #list, 2 do
        named[list[j]] = list[j + 1]
    end
    local inside = 0
    if named.kind == 'direct' or named.kind == 'offered' or named.kind == 'restored'
        or named.kind == 'promote' then -- promote: of an older release
        local n = call('ZSCORE', K_ACTIVE_N, named.buyer) -- nil: an older release has admitted the buyer
        local same = n and n == named.n or not n and call('ZSCORE', K_ACTIVE_PLACE, named.buyer) == named.place
        inside = same and tonumber(named.epoch) == ev.epoch and 1 or 0
    end
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = entries[i][1], named.kind, named.buyer
    reply[at + 4], reply[at + 5], reply[at + 6] = named.place, named.epoch, named.at
    reply[at + 7], reply[at + 8], reply[at + 9] = named.inside, named.threshold, named.n
    reply[at + 10] = inside
end
return reply
