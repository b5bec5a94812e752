-- SPDX-License-Identifier: MIT
--
-- log: reads the admission log for the ledger, its consumer.
--
-- KEYS  as in shared.lua
-- ARGV  1  id of the entry after which to read; 0-0: from the start
--       2  entries at most, up to 500
--       3  1: that id is the ledger's cursor, everything up to it has been consumed
-- REPLY OK and the numbers, then ten per entry, in order: id, kind, buyer, place, epoch, at (ms),
--       inside, threshold, n, still inside by that very admission (0|1)
--       NOCONFIG
--
-- A failover may have lost the last entries of the log, or all of it. If the clock is behind, entries
-- written since then are below the cursor or have its very id, and would be passed over. free:{id}
-- was lost with the log, so what it calls consumed is no later than the loss: entries above that
-- and up to the cursor are the reply. The ledger moves its cursor back below the first of them;
-- what it consumes a second time has no effect (the same happens after a crash before free:{id} was
-- written). If there are none, the log's next id is raised above the cursor instead.
--
-- Invariants: no entry is written or copied, so a call costs what it replies, however long the log.
-- free.id is never above the log's last id, so it is an entry of this very log.

if not open() then
    return {'NOCONFIG'}
end
settle()

local after, limit = ARGV[1], min(num(ARGV[2]), 500)

local function last_id()
    local info = call('XINFO', 'STREAM', K_LOG)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return info[i + 1]
        end
    end
end

-- The last entry of this very log that was consumed.
local function consumed(last)
    local id = call('HGET', K_FREE, 'id')
    if id and older(last, id) then -- it belongs to a log that is gone
        call('HSET', K_FREE, 'id', '0-0')
        return '0-0'
    end
    return id or '0-0'
end

-- Entries not consumed that are at or below the cursor.
local function passed_over()
    if call('EXISTS', K_LOG) == 0 then
        return {}
    end
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
    if named.kind == 'direct' or named.kind == 'promote' or named.kind == 'restored' then
        inside = call('ZSCORE', K_ACTIVE_PLACE, named.buyer) == named.place
            and tonumber(named.epoch) == ev.epoch and 1 or 0
    end
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = entries[i][1], named.kind, named.buyer
    reply[at + 4], reply[at + 5], reply[at + 6] = named.place, named.epoch, named.at
    reply[at + 7], reply[at + 8], reply[at + 9] = named.inside, named.threshold, named.n
    reply[at + 10] = inside
end
return reply
