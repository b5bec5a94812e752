-- SPDX-License-Identifier: MIT
--
-- promote: one bounded step of the processor's tick: ends the admissions of buyers who are idle or
-- inside for too long, then admits from the head of the queue as many as the capacity allows.
--
-- KEYS  as in shared.lua
-- ARGV  1  the whole value of lease:{id} that the caller holds
--       2  admit so many now: ignores outflowPerMinute, but not threshold, seats, pause or
--          restore window; 0: as the settings say
--       3  highest place of this event that the caller has ever seen; 0: none
--       4  silentMs where the live copy has none: it was written by a release that did not know it
--       5  moves (ended, parked, admitted) that this call may make, at most 500
-- REPLY OK and the numbers, then: admitted, ended for idleness, ended for the session limit, parked,
--       more (1: the bound was reached, call again at once), admissions so far (n of the log)
--       LEASE, NOCONFIG
--
-- An admission counts as a heartbeat. The admitted are published on the channel, unless seats are to
-- be held for them first: then the ledger publishes them, after the holds.
--
-- Invariants: nothing is done without the lease. After every admission the number inside is at
-- most the effective threshold. Buyers enter in the order of their places. A buyer removed from
-- the queue is inside or parked; the place of a buyer removed from inside is consumed.

local CHANNEL = 'tiketi:queue-events'

if not open() then
    return {'NOCONFIG'}
end
if not holds_lease(ARGV[1]) then
    return {'LEASE'}
end
settle(tonumber(ARGV[3]))

local wanted = num(ARGV[2])
local budget = min(num(ARGV[5]), 500)

-- Ends the admissions whose score in `key` is more than `limit` ms ago; 0: no limit.
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

-- Removes up to `count` buyers from the head: silent ones are parked, the others admitted. Returns how
-- many were admitted, and how many removed.
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
