-- SPDX-License-Identifier: MIT
--
-- promote: one bounded step of the processor's tick, or of what it does between two ticks. Ends the admissions of
-- buyers over the session limit and of idle ones, and the offers that were not claimed; then offers turns to as many
-- buyers from the head of the queue as there is capacity for.
--
-- KEYS  as in shared.lua
-- ARGV  1  the whole value of lease:{id} that the caller holds
--       2  an organizer's request to admit this many now, regardless of outflowPerMinute (threshold,
--          seats, status and restore window still hold); 0: admit as the settings say
--       3  highest place of this event that the caller has ever seen; 0: none
--       4  silentMs, for a live copy that has none because an older release wrote it
--       5  the most moves that this call may make, up to 500: a buyer admitted or parked, or whose
--          admission or payment ended, is one move
--       6  the channel to publish on
--       7  claimMs, for a live copy that has none because an older release wrote it
--       8  tick: all of it; check: ends unclaimed offers, but no admission and no payment; refill: ends nothing.
--          Of a check or refill between two ticks the slots that became free are the reason
-- REPLY OK and the numbers, then: number admitted, ended because idle, ended at the session limit,
--       parked; more (1: the limit of moves was reached, so the caller calls again at once);
--       admissions so far (n of the log); offers that ran out; ended because idle for the first time;
--       why no more were admitted (limit_text in shared.lua); the places of those admitted, with spaces
--       LEASE, NOCONFIG
--
-- An offer that was not claimed within claimMs ends, and its buyer keeps the place: parked until they
-- claim. So does the first admission of a place that ends for idleness, with what is left of the session
-- limit. In a closed event this goes on for those inside until closeGraceMs is over (shared.lua); then all turns end. Parked buyers of these two kinds are offered nothing, so buyers who never come cannot stop the
-- queue. Nor can buyers who come back each time and let the next offer run out as well: from the second offer
-- in a row on, the place rests before a claim brings it back, for 1, 3, 7 and at most 15 times claimMs. So
-- it occupies a slot for a sixteenth of the time in the end, and is still theirs. Offered turns are published on the channel here, unless they get an auto-hold: then the ledger
-- publishes them together with it.
--
-- Invariants: without the lease nothing is done. After every admission the number inside is at most
-- the effective threshold. Buyers enter in the order of their places. A buyer who is removed from the
-- queue is inside or parked. A buyer who is removed from the inside is parked, or their place is
-- consumed.

if not read_event() then
    return {'NOCONFIG'}
end
if not holds_lease(ARGV[1]) then
    return {'LEASE'}
end
must_may('XADD', K_LOG, 'SADD', K_ACTIVE, 'SREM', K_ACTIVE, 'ZADD', K_OFFERED, 'ZREM', K_QUEUE,
    'ZMSCORE', K_QUEUE_SEEN, 'SMISMEMBER', K_ACTIVE, 'ZRANGE', K_QUEUE, 'ZRANGEBYSCORE', K_ACTIVE_SEEN, 'HINCRBY', K_STATS,
    'HGET', K_STATS, 'HMGET', K_FREE, 'HSET', K_CONFIG, 'HDEL', K_KEPT)
bring_up_to_date(tonumber(ARGV[3]))

local whole, checks = ARGV[8] == 'tick', ARGV[8] ~= 'refill'

local MOST_RESTS = 15 -- times claimMs that a place rests at most

local wanted = num(ARGV[2])
local budget = min(num(ARGV[5]), 500)

-- Up to `budget` buyers whose score in `key` is at least 0 and below `before`.
local function late(key, before)
    if budget <= 0 then
        return {}
    end
    local buyers = call('ZRANGEBYSCORE', key, 0, '(' .. text(before), 'LIMIT', 0, budget)
    budget = budget - #buyers
    return buyers
end

local limits = call('HMGET', K_CONFIG, 'idleTimeoutMs', 'sessionLimitMs', 'silentMs', 'claimMs', 'hintedAt', 'gapSeq', 'gapAt')
local idle_ms, session_ms = num(limits[1]), num(limits[2])
if whole then
    call('HSET', K_CONFIG, 'tickedAt', text(ev.now), 'hintedAt', 0)
elseif num(limits[5]) > 0 then
    call('HSET', K_CONFIG, 'hintedAt', 0)
end
local silent_ms, claim_ms = num(limits[3] or ARGV[4]), num(limits[4] or ARGV[7])

local gap_seq, gap_at = num(limits[6]), num(limits[7])

-- The service time of the first heartbeat of a newcomer, from their place (shared.lua).
local function first_heartbeat(place)
    return place <= gap_seq and gap_at or place / 1000 - ev.gap
end

-- Those of `buyers`, members of `key`, who are inside. The others were taken out by an older release,
-- which does not know this key.
local function inside(key, buyers)
    if #buyers == 0 then
        return buyers
    end
    local is_inside, list, stale = call('SMISMEMBER', K_ACTIVE, unpack(buyers)), {}, {}
    for i = 1, #buyers do
        local to = is_inside[i] == 1 and list or stale
        to[#to + 1] = buyers[i]
    end
    if #stale > 0 then
        call('ZREM', key, unpack(stale))
    end
    return list
end

-- The deadlines of these payments have passed: the other limits apply again, from the next tick on.
local function end_payments(buyers)
    if #buyers == 0 then
        return
    end
    local since, alive, start = call('ZMSCORE', K_ACTIVE_SINCE, unpack(buyers)), {}, {}
    for i = 1, #buyers do
        alive[2 * i - 1], alive[2 * i] = text(ev.service), buyers[i]
        start[2 * i - 1], start[2 * i] = text(math.abs(num(since[i]))), buyers[i]
    end
    call('ZADD', K_ACTIVE_SEEN, unpack(alive))
    call('ZADD', K_ACTIVE_SINCE, unpack(start))
    call('ZREM', K_PAYING, unpack(buyers))
end

-- The first time that a place's admission ends for idleness the place is kept, with the session time that
-- was used; the second time it is consumed. Returns how many were consumed, and how many kept.
local function evict_idle(buyers)
    if #buyers == 0 then
        return 0, 0
    end
    local kept, since = call('HMGET', K_KEPT, unpack(buyers)), call('ZMSCORE', K_ACTIVE_SINCE, unpack(buyers))
    local places = call('ZMSCORE', K_ACTIVE_PLACE, unpack(buyers))
    local again, first, began = {}, {}, {}
    for i = 1, #buyers do
        if kept_read(kept[i], places[i]) then
            again[#again + 1] = buyers[i]
        else
            first[#first + 1], began[#began + 1] = buyers[i], num(since[i])
        end
    end
    depart('idle', again)
    set_aside('idle_kept', first, function(i, place)
        return kept_write(place, max(0, ev.service - began[i]), began[i] + ev.gap, 0, 0)
    end)
    return #again, #first
end

-- Ends these offers, which ran out. Their places are kept, and rest the longer the more offers have run out in a row.
local function end_offers(buyers)
    local kept = #buyers > 0 and call('HMGET', K_KEPT, unpack(buyers))
    set_aside('unclaimed', buyers, function(i, place)
        local used, since, missed = kept_read(kept[i], place)
        local rest = min(2 ^ missed - 1, MOST_RESTS) * claim_ms
        return kept_write(place, used, since, missed + 1, rest > 0 and ev.service + rest or 0)
    end)
end

-- Once the turns of a closed event are over, nobody is inside: claimed turns end as at the session limit, payments
-- pending or not, and offers as if they had run out, so that their buyers keep their places should the event open again.
local function end_turns()
    local inside_now = call('ZRANGE', K_ACTIVE_PLACE, 0, budget - 1)
    local offered = #inside_now > 0 and call('ZMSCORE', K_OFFERED, unpack(inside_now))
    local claimed, open_offers = {}, {}
    for i = 1, #inside_now do
        local to = offered[i] and open_offers or claimed
        to[#to + 1] = inside_now[i]
    end
    depart('timeout', claimed)
    end_offers(open_offers)
    budget = budget - #inside_now
    return #claimed, #open_offers
end

local closing, withdrawn = 0, 0
if ev.over and checks and budget > 0 then
    closing, withdrawn = end_turns()
end
local overdue = whole and session_ms > 0 and late(K_ACTIVE_SINCE, ev.service - session_ms) or {}
depart('timeout', overdue)
local timeout = closing + #overdue
local idle, idle_kept = evict_idle(whole and idle_ms > 0 and late(K_ACTIVE_SEEN, ev.service - idle_ms) or {})
local run_out = inside(K_OFFERED, checks and late(K_OFFERED, ev.service - claim_ms) or {})
end_offers(run_out)
end_payments(inside(K_PAYING, whole and late(K_PAYING, ev.now) or {}))

local function park(buyers, places)
    if #buyers == 0 then
        return
    end
    local moves, n = {}, admitted()
    for i = 1, #buyers do
        record('parked', buyers[i], places[i], ev.inside, n)
        moves[2 * i - 1], moves[2 * i] = places[i], buyers[i]
    end
    call('ZADD', K_PARKED, unpack(moves))
    call('HINCRBY', K_STATS, 'parked', #buyers)
end

local entered, entered_places, parked = {}, {}, 0

-- Removes up to `count` buyers from the head of the queue: parks the silent ones, admits the others.
-- Returns how many it admitted, and how many it removed.
local function take(count)
    local head = call('ZRANGE', K_QUEUE, 0, count - 1, 'WITHSCORES')
    if #head == 0 then
        return 0, 0
    end
    local buyers = {}
    for i = 1, #head, 2 do
        buyers[#buyers + 1] = head[i]
    end
    local seen = call('ZMSCORE', K_QUEUE_SEEN, unpack(buyers))
    local quiet, quiet_places, live, live_places = {}, {}, {}, {}
    for i = 1, #buyers do
        local last = seen[i] and tonumber(seen[i]) or first_heartbeat(tonumber(head[2 * i]))
        if last < ev.service - silent_ms then
            quiet[#quiet + 1], quiet_places[#quiet_places + 1] = buyers[i], head[2 * i]
        else
            live[#live + 1], live_places[#live_places + 1] = buyers[i], head[2 * i]
            entered[#entered + 1], entered_places[#entered_places + 1] = buyers[i], head[2 * i]
        end
    end
    park(quiet, quiet_places)
    if wanted > 0 and ev.outflow > 0 and #live > 0 then
        record('by_hand', '', text(#live), ev.inside, admitted())
    end
    admit('offered', live, live_places)
    call('ZREM', K_QUEUE, unpack(buyers))
    call('ZREM', K_QUEUE_SEEN, unpack(buyers))
    ev.size = ev.size - #buyers
    parked = parked + #quiet
    return #live, #buyers
end

local left = capacity(wanted == 0)
if wanted > 0 then
    left = min(left, wanted)
end
while left > 0 and budget > 0 and ev.size > 0 do
    local live, taken = take(min(left, budget))
    if taken == 0 then
        break
    end
    left, budget = left - live, budget - taken
end

if #entered > 0 and not seats_left() then
    local list, tail = {}, format('","since":%s,"epoch":%s}', text(ev.now), text(ev.epoch))
    for i = 1, #entered do
        list[i] = '{"buyer":' .. cjson.encode(entered[i]) .. ',"place":"' .. entered_places[i]
            .. tail
    end
    -- A hint: a user who may not publish admits all the same, and pods learn of it from the index.
    publish(ARGV[6], '{"eventId":"' .. K_CONFIG:match('{(.*)}')
        .. '","event":"admitted","payload":{"buyers":[' .. table.concat(list, ',') .. ']}}')
end

local reply = numbers()
reply[11], reply[12], reply[13], reply[14] = #entered, idle, timeout, parked
reply[15], reply[16] = budget <= 0 and 1 or 0, admitted()
reply[17], reply[18] = withdrawn + #run_out, idle_kept
reply[19] = limit_text(wanted == 0)
reply[20] = table.concat(entered_places, ' ')
return reply
