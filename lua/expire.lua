-- SPDX-License-Identifier: MIT
--
-- expire: deletes the keys of an event that is over: the record is in PostgreSQL, and if the event is needed again,
-- configure brings it back as after a loss of data.
--
-- KEYS  as in shared.lua, then sales:{id}
-- ARGV  1  the ledger's cursor: it has consumed the log up to this entry
--       2  1: also the copies of its sales, which name buyers and else stay until they expire (sales.lua)
-- REPLY OK, but not the numbers; then
--       expired     no key is left, but for the copies of sales
--       open        the event is not closed, or no draft
--       inside      somebody is inside: a processor has to end that first
--       leased      a processor works on the event
--       unconsumed  the log has entries that PostgreSQL does not have
--
-- Both the cursor and free.id must be at the log's end: the cursor because free.id is older than a PostgreSQL that was
-- restored from a backup, free.id because after a failover the log may have new entries below the cursor (log.lua).
--
-- Invariant: nothing is deleted that PostgreSQL does not have, but for the places of buyers who waited when the event was
-- closed: their tickets still bring them back.

local function unconsumed()
    if call('EXISTS', K_LOG) == 0 then
        return false
    end
    local info = call('XINFO', 'STREAM', K_LOG)
    for i = 1, #info, 2 do
        if info[i] == 'last-entry' and info[i + 1] then
            local last = info[i + 1][1]
            return older(ARGV[1], last) or older(call('HGET', K_FREE, 'id') or '0-0', last)
        end
    end
    return false
end

local function outcome()
    local known = read_event()
    if known and ev.status ~= 'closed' and ev.status ~= 'draft' then
        return 'open'
    elseif known and ev.inside > 0 then
        return 'inside'
    elseif call('EXISTS', K_LEASE) == 1 then
        return 'leased'
    elseif unconsumed() then
        return 'unconsumed'
    end
    call('UNLINK', unpack(KEYS, 1, ARGV[2] == '1' and #KEYS or #KEYS - 1))
    return 'expired'
end

return {'OK', outcome()}
