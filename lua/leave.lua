-- SPDX-License-Identifier: MIT
--
-- leave: buyers give up their place, or the slot that they have inside.
--
-- KEYS  as in shared.lua
-- ARGV  1       reason: left (the buyer wants to leave, and gives up whatever they have) or completed
--               (the buyer has bought, so the admission of that purchase ends) or released (staff or a pass end the
--               turn, logged as `left`: a waiting or parked buyer keeps the place)
--       then three per buyer, at most 500 buyers:
--               buyer id
--               given place: the one that the caller knows from a ticket, a pass or an admission; 0:
--               none
--               its epoch
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               what the buyer had: active, waiting, parked, gone; banned: nothing was changed
--               the place that is now consumed; 0: none
--               0, 0
--       NOCONFIG
--
-- With reason completed or released and a given place, only what the buyer has at or below that place ends. So a late
-- repetition ends no admission, and takes no place, that the buyer got after the purchase. If the given
-- place is of another epoch, nothing ends.
--
-- When slots have become free and buyers wait, the lease holder is told (hint).
--
-- Invariants: the given place is consumed even if Redis has lost it, so that no ticket brings it back; with reason released
-- only if its buyer does not wait.
-- Repeating a call changes nothing.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('XADD', K_LOG, 'SREM', K_ACTIVE, 'ZREM', K_QUEUE, 'ZADD', K_CONSUMED, 'HINCRBY', K_STATS,
    'HGET', K_STATS, 'ZSCORE', K_QUEUE, 'ZMSCORE', K_ACTIVE_PLACE, 'HDEL', K_KEPT, 'HSET', K_CONFIG)
bring_up_to_date()

local reason = ARGV[1]
local completed = reason == 'completed'
local inside_only = reason == 'released'
if inside_only then
    reason = 'left'
end

-- Removes buyer b from `key`, the queue or the parked buyers. Returns the place; false: b is not there,
-- or b's place is above the given one of a purchase.
local function withdraw(key, b, given)
    local score = call('ZSCORE', key, b)
    local place = score and parked_place(score)
    if not place or (completed and tonumber(place) > given) then
        return false
    end
    record('withdrawn', b, place, ev.inside, admitted())
    call('ZREM', key, b)
    call('ZREM', K_QUEUE_SEEN, b)
    call('HDEL', K_KEPT, b)
    call('ZADD', K_CONSUMED, 'GT', place, b)
    call('HINCRBY', K_STATS, 'withdrawn', 1)
    return place
end

-- Takes from b whatever b has. Returns its kind and the place.
local function give_up(b, given)
    local place = call('ZSCORE', K_ACTIVE_PLACE, b)
    if place then
        if (completed or inside_only) and given > 0 and tonumber(place) > given then
            return 'gone', '0'
        end
        depart(reason, {b})
        return 'active', place
    end
    if inside_only then
        return 'gone', '0'
    end
    place = withdraw(K_QUEUE, b, given)
    if place then
        ev.size = ev.size - 1
        return 'waiting', place
    end
    place = withdraw(K_PARKED, b, given)
    if place then
        return 'parked', place
    end
    return 'gone', '0'
end

local words, inside_before = {}, ev.inside
for i = 2, #ARGV, 3 do
    local b, given, state, place = ARGV[i], num(ARGV[i + 1]), 'gone', '0'
    local banned = ev.bans > 0 and call('HGET', K_BANNED, b)
    local stale = given > 0 and num(ARGV[i + 2]) ~= ev.epoch
    if stale then
        given = 0
    end
    if banned and not completed then
        state, given = 'banned', 0 -- their place is kept for them
    elseif banned and given > 0 and banned:match('^%d+') == text(given) then
        call('HSET', K_BANNED, b, '0 0') -- the place of a purchase is consumed, below
    elseif not (stale and (completed or inside_only)) then
        state, place = give_up(b, given)
    end
    local waits = inside_only and state == 'gone' and (call('ZSCORE', K_QUEUE, b) or call('ZSCORE', K_PARKED, b)
        or call('ZSCORE', K_ACTIVE_PLACE, b))
    if given > num(place) and not waits then
        call('ZADD', K_CONSUMED, 'GT', text(given), b)
        place = text(given)
    end
    local at = #words
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, place, 0, 0
end
if ev.inside < inside_before then
    hint()
end
return answer(words)
