-- SPDX-License-Identifier: MIT
--
-- seen: signs of life of many buyers.
--
-- KEYS  as in shared.lua
-- ARGV  buyer ids, at most 500
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               state: waiting, active, parked, gone
--               place; 0 when he has none
--               0
--               time of admission, ms, of those inside; else 0
--       NOCONFIG
--
-- Invariant: refreshes only who is there. It creates no member, so a late sign of life brings
-- nobody back; the parked come back by join.

if not open() then
    return {'NOCONFIG'}
end
settle()

local queued = call('ZMSCORE', K_QUEUE, unpack(ARGV))
local places = call('ZMSCORE', K_PLACE, unpack(ARGV))
local waiting, active, others = {}, {}, {}
local service = text(ev.service)
for i = 1, #ARGV do
    local list = places[i] and active or queued[i] and waiting or others
    list[#list + 1] = service
    list[#list + 1] = ARGV[i]
end
if #waiting > 0 then
    call('ZADD', K_SEEN, 'XX', unpack(waiting))
end
local since = {}
if #active > 0 then
    call('ZADD', K_ACTIVE_SEEN, 'XX', unpack(active))
    since = call('ZMSCORE', K_SINCE, unpack(ARGV))
end
local parked = #others > 0 and call('ZMSCORE', K_PARKED, unpack(ARGV)) or {}

local words = {}
for i = 1, #ARGV do
    local state, place, start = 'gone', '0', 0
    if places[i] then
        state, place, start = 'active', places[i], num(since[i]) + ev.gap
    elseif queued[i] then
        state, place = 'waiting', queued[i]
    elseif parked[i] then
        state, place = 'parked', parked[i]
    end
    local at = 4 * i - 4
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, place, 0, start
end
return answer(words)
