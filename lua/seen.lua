-- SPDX-License-Identifier: MIT
--
-- seen: records heartbeats of many buyers.
--
-- KEYS  as in shared.lua
-- ARGV  buyer ids, at most 500
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               state: waiting, active, parked, gone
--               place of an active or parked buyer; otherwise 0
--               0
--               time of admission of an active buyer, ms; otherwise 0
--       NOCONFIG
--
-- Invariant: only buyers who wait or are inside are refreshed, so a late heartbeat brings nobody back.
-- A parked buyer waits again by join.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date()

local service, heartbeats = text(ev.service), {}
for i = 1, #ARGV do
    heartbeats[2 * i - 1], heartbeats[2 * i] = service, ARGV[i]
end

-- The members of queue:seen are the waiting buyers. If ZADD XX changed the score of every buyer of this
-- call, all of them wait, and that is the answer, at a quarter of the cost of looking each one up. ZADD
-- does not count a buyer who was refreshed in this same millisecond: the general way below then finds
-- the same answer.
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
