-- SPDX-License-Identifier: MIT
--
-- seen: heartbeats of many buyers.
--
-- KEYS  as in shared.lua
-- ARGV  buyer ids, at most 500
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               state: waiting, active, parked, gone
--               place; 0: none, and of the waiting
--               0
--               time of admission, ms, of those inside; else 0
--       NOCONFIG
--
-- Invariant: refreshes only members that exist, so a late heartbeat brings nobody back. The parked
-- come back by join.

if not open() then
    return {'NOCONFIG'}
end
settle()

local service, heartbeats = text(ev.service), {}
for i = 1, #ARGV do
    heartbeats[2 * i - 1], heartbeats[2 * i] = service, ARGV[i]
end

-- The members of queue:seen are the waiting: if all of these were refreshed there, that is the
-- answer, at a quarter of the cost of looking at each. One already refreshed in this very
-- millisecond does not count as changed: then the long way below finds the same.
if call('ZADD', K_QUEUE_SEEN, 'XX', 'CH', unpack(heartbeats)) == #ARGV then
    return answer({(('waiting 0 0 0 '):rep(#ARGV):sub(1, -2))})
end

local queued = call('ZMSCORE', K_QUEUE, unpack(ARGV))
local places = call('ZMSCORE', K_ACTIVE_PLACE, unpack(ARGV))
local active, others = {}, {}
for i = 1, #ARGV do
    local list = places[i] and active or not queued[i] and others
    if list then
        list[#list + 1] = service
        list[#list + 1] = ARGV[i]
    end
end
local since = {}
if #active > 0 then
    call('ZADD', K_ACTIVE_SEEN, 'XX', unpack(active))
    since = call('ZMSCORE', K_ACTIVE_SINCE, unpack(ARGV))
end
local parked = #others > 0 and call('ZMSCORE', K_PARKED, unpack(ARGV)) or {}

local words = {}
for i = 1, #ARGV do
    local state, place, start = 'gone', '0', 0
    if places[i] then
        state, place, start = 'active', places[i], num(since[i]) + ev.gap
    elseif queued[i] then
        state = 'waiting'
    elseif parked[i] then
        state, place = 'parked', parked[i]
    end
    local at = 4 * i - 4
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, place, 0, start
end
return answer(words)
