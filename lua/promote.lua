-- SPDX-License-Identifier: MIT
--
-- promote: one bounded step of the processor's tick. Ends the admissions of idle buyers and of those
-- over the session limit; then admits as many buyers from the head of the queue as there is capacity
-- for.
--
-- KEYS  as in shared.lua
-- ARGV  1  the whole value of lease:{id} that the caller holds
--       2  an organizer's request to admit this many now, regardless of outflowPerMinute (threshold,
--          seats, status and restore window still hold); 0: admit as the settings say
--       3  highest place of this event that the caller has ever seen; 0: none
--       4  silentMs, for a live copy that has none because an older release wrote it
--       5  the most moves that this call may make, up to 500: a buyer admitted, parked, or whose
--          admission ended is one move
-- REPLY OK and the numbers, then: number admitted, ended because idle, ended at the session limit,
--       parked; more (1: the limit of moves was reached, so the caller calls again at once);
--       admissions so far (n of the log)
--       LEASE, NOCONFIG
--
-- An admission counts as a heartbeat. Admitted buyers are published on the channel here, unless they
-- get an auto-hold: then the ledger publishes them together with it.
--
-- Invariants: without the lease nothing is done. After every admission the number inside is at most
-- the effective threshold. Buyers enter in the order of their places. A buyer who is removed from the
-- queue is inside or parked. The place of a buyer who is removed from the inside is consumed.

local CHANNEL = 'tiketi:queue-events'

if not read_event() then
    return {'NOCONFIG'}
end
if not holds_lease(ARGV[1]) then
    return {'LEASE'}
end
bring_up_to_date(tonumber(ARGV[3]))

local wanted = num(ARGV[2])
local budget = min(num(ARGV[5]), 500)

-- Ends the admissions whose score in `key` is more than `limit` ms ago, and returns how many; limit 0:
-- none.
local function evict(kind, key, limit)
    if limit <= 0 or budget <= 0 then
        return 0
    end
    local late = call('ZRANGEBYSCORE', key, '-inf', '(' .. text(ev.service - limit), 'LIMIT', 0,
        budget)
    depart(kind, late)
    budget = budget - #late
    return #late
end

local limits = call('HMGET', K_CONFIG, 'idleTimeoutMs', 'sessionLimitMs', 'silentMs')
local silent_ms = num(limits[3] or ARGV[4])
local idle = evict('idle', K_ACTIVE_SEEN, num(limits[1]))
local timeout = evict('timeout', K_ACTIVE_SINCE, num(limits[2]))

local function park(buyers, places)
    if #buyers == 0 then
        return
    end
    local moves = {}
    for i = 1, #buyers do
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
        if num(seen[i]) < ev.service - silent_ms then
            quiet[#quiet + 1], quiet_places[#quiet_places + 1] = buyers[i], head[2 * i]
        else
            live[#live + 1], live_places[#live_places + 1] = buyers[i], head[2 * i]
            entered[#entered + 1], entered_places[#entered_places + 1] = buyers[i], head[2 * i]
        end
    end
    call('ZREM', K_QUEUE, unpack(buyers))
    call('ZREM', K_QUEUE_SEEN, unpack(buyers))
    park(quiet, quiet_places)
    admit('promote', live, live_places)
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
    call('PUBLISH', CHANNEL, '{"eventId":"' .. K_CONFIG:match('{(.*)}')
        .. '","event":"admitted","payload":{"buyers":[' .. table.concat(list, ',') .. ']}}')
end

local reply = numbers()
reply[11], reply[12], reply[13], reply[14] = #entered, idle, timeout, parked
reply[15], reply[16] = budget <= 0 and 1 or 0, admitted()
return reply
