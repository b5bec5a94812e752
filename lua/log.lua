-- SPDX-License-Identifier: MIT
--
-- log: reads the admission log for its consumer.
--
-- KEYS  as in shared.lua
-- ARGV  1  id of the last entry consumed; 0-0: from the start
--       2  entries at most, up to 500
-- REPLY OK and the numbers, then ten per entry, in order: id, kind, buyer, place, epoch, at (ms),
--       inside, threshold, n, still inside by that very admission (0|1)
--       NOCONFIG
--
-- A log that ends before what was consumed is a new one, begun after Redis had lost its data, on
-- a clock that is behind. Its entries are then written again above the consumed id, so that the
-- consumer sees them, once.
--
-- Invariant: reads only, but for that.

if not open() then
    return {'NOCONFIG'}
end
settle()

local function parts(id)
    local ms, seq = id:match('^(%d+)%-(%d+)$')
    return num(ms), num(seq)
end

local after, limit = ARGV[1], min(num(ARGV[2]), 500)

local function rewrite()
    local ms, seq = parts(after)
    while true do
        local entries = call('XRANGE', K_LOG, '-', after, 'COUNT', 500)
        if #entries == 0 then
            return
        end
        for i = 1, #entries do
            seq = seq + 1
            call('XADD', K_LOG, text(ms) .. '-' .. text(seq), unpack(entries[i][2]))
            call('XDEL', K_LOG, entries[i][1])
        end
    end
end

local function last_id()
    local info = call('XINFO', 'STREAM', K_LOG)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return info[i + 1]
        end
    end
end

local entries = call('XRANGE', K_LOG, '(' .. after, '+', 'COUNT', limit)
if #entries == 0 and call('EXISTS', K_LOG) == 1 then
    local last_ms, last_seq = parts(last_id())
    local ms, seq = parts(after)
    if last_ms < ms or (last_ms == ms and last_seq < seq) then
        rewrite()
        entries = call('XRANGE', K_LOG, '(' .. after, '+', 'COUNT', limit)
    end
end

local reply = numbers()
for i = 1, #entries do
    local named, list = {}, entries[i][2]
    for j = 1, #list, 2 do
        named[list[j]] = list[j + 1]
    end
    local inside = 0
    if named.kind == 'straight' or named.kind == 'promote' or named.kind == 'restored' then
        inside = call('ZSCORE', K_PLACE, named.buyer) == named.place
            and tonumber(named.epoch) == ev.epoch and 1 or 0
    end
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = entries[i][1], named.kind, named.buyer
    reply[at + 4], reply[at + 5], reply[at + 6] = named.place, named.epoch, named.at
    reply[at + 7], reply[at + 8], reply[at + 9] = named.inside, named.threshold, named.n
    reply[at + 10] = inside
end
return reply
