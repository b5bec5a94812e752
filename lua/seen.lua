-- SPDX-License-Identifier: MIT
--
-- seen: records heartbeats of many buyers.
--
-- KEYS  as in shared.lua
-- ARGV  buyer ids, at most 500
--       then, last, 1: these buyers claim: an offer becomes their turn, and a parked buyer waits again at
--       their place, unless it rests (promote); 0: they only send heartbeats
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               state: waiting, active (inside, claimed), offered (inside, not claimed), parked,
--               unclaimed (parked; only a claim brings them back), banned, gone
--               place of a buyer inside, of a parked buyer, and of one who was parked until now;
--               otherwise 0
--               deadline of an active buyer's pending payment, ms; for an unclaimed one the time, ms, before
--               which no claim brings them back; otherwise 0
--               when the session of an active buyer began, or when an offer was made, ms; otherwise 0
--       NOCONFIG
--
-- Invariant: a late heartbeat brings nobody back. Without a claim, only buyers who wait or whose turn it
-- is are refreshed; a parked buyer who was silent waits again by join.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date()

local count = #ARGV - 1
local claims = ARGV[#ARGV] == '1'
ARGV[#ARGV] = nil
local buyers, service, heartbeats = ARGV, text(ev.service), {}
for i = 1, count do
    heartbeats[2 * i - 1], heartbeats[2 * i] = service, buyers[i]
end

local function all_wait()
    return answer({(('waiting 0 0 0 '):rep(count):sub(1, -2))})
end

-- The members of queue:seen are buyers who wait. If ZADD XX changed the score of every buyer of this
-- call, all of them wait, and that is the answer, at a quarter of the cost of looking each one up. ZADD
-- does not count a buyer who was refreshed in this same millisecond: the general way below then finds
-- the same answer.
if call('ZADD', K_QUEUE_SEEN, 'XX', 'CH', unpack(heartbeats)) == count then
    return all_wait()
end

-- Of those who wait some have no entry yet: their first heartbeat was their place (shared.lua).
local queued, waiting = call('ZMSCORE', K_QUEUE, unpack(buyers)), {}
for i = 1, count do
    if queued[i] then
        waiting[#waiting + 1] = service
        waiting[#waiting + 1] = buyers[i]
    end
end
if #waiting > 0 then
    call('ZADD', K_QUEUE_SEEN, unpack(waiting))
end
if #waiting == 2 * count then
    return all_wait()
end

local places = ev.over and {} or call('ZMSCORE', K_ACTIVE_PLACE, unpack(buyers)) -- over: nobody is inside
local active, others = {}, {}
for i = 1, count do
    local list = places[i] and active or not queued[i] and others
    if list then
        list[#list + 1] = service
        list[#list + 1] = buyers[i]
    end
end
local offered = #active > 0 and call('ZMSCORE', K_OFFERED, unpack(buyers)) or {}
local parked = #others > 0 and call('ZMSCORE', K_PARKED, unpack(buyers)) or {}
local banned = #others > 0 and banned_of(buyers) or {}

local function claim_all()
    local offers, back, moves, alive, done = {}, {}, {}, {}, {}
    for i = 1, count do
        local b = buyers[i]
        if not done[b] and offered[i] then
            offers[#offers + 1] = b
        elseif not done[b] and parked[i] and ev.status ~= 'closed' and ev.status ~= 'draft' then
            local place, needs_claim = parked_place(parked[i])
            if not needs_claim or rests_until(b, place) == 0 then
                back[#back + 1] = b
                moves[#moves + 1], alive[#alive + 1] = place, service
                moves[#moves + 1], alive[#alive + 1] = b, b
            end
        end
        done[b] = true
    end
    if #offers == 0 and #back == 0 then
        return
    end
    must_may('XADD', K_LOG, 'ZADD', K_QUEUE, 'ZREM', K_PARKED, 'HINCRBY', K_STATS, 'HGET', K_STATS, 'HMGET', K_KEPT,
        'HSET', K_KEPT, 'HDEL', K_KEPT, 'HSET', K_CONFIG)
    claim(offers)
    if #back > 0 then
        for i = 1, #back do
            record('returned', back[i], moves[2 * i - 1], ev.inside, admitted())
        end
        call('ZREM', K_PARKED, unpack(back))
        call('ZADD', K_QUEUE, unpack(moves))
        call('ZADD', K_QUEUE_SEEN, unpack(alive))
        call('HINCRBY', K_STATS, 'unparked', #back)
        ev.size = ev.size + #back
        if ev.inside < ev.threshold then
            hint()
        end
        queued = call('ZMSCORE', K_QUEUE, unpack(buyers))
    end
    offered = {}
end

if claims then
    claim_all()
end
local since = {}
if #active > 0 then
    call('ZADD', K_ACTIVE_SEEN, 'XX', unpack(active))
    since = call('ZMSCORE', K_ACTIVE_SINCE, unpack(buyers))
end

local words = {}
for i = 1, count do
    local state, place, deadline, start = 'gone', '0', 0, 0
    if banned[i] then
        state = 'banned'
    elseif places[i] and offered[i] then
        state, place, start = 'offered', places[i], num(offered[i]) + ev.gap
    elseif places[i] then
        state, place = 'active', places[i]
        deadline, start = turn_times(buyers[i], since[i])
    elseif queued[i] then
        state = 'waiting'
        if parked[i] then
            place = queued[i]
        end
    elseif parked[i] then
        local needs_claim
        place, needs_claim = parked_place(parked[i])
        state = needs_claim and 'unclaimed' or 'parked'
        deadline = needs_claim and rests_until(buyers[i], place) or 0
    end
    local at = 4 * i - 4
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, place, deadline, start
end
return answer(words)
