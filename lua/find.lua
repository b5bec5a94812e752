-- SPDX-License-Identifier: MIT
--
-- find: where a buyer stands, for staff who look them up. It is no heartbeat and no claim.
--
-- KEYS  as in shared.lua
-- ARGV  1  buyer id; '': the buyer with the place of item 2
--       2  place; 0: the buyer of item 1
-- REPLY OK and the numbers, then one text with four words, as join.lua has for each buyer: state (active, offered,
--               waiting, parked, unclaimed, banned, gone), place, position or deadline of a payment, time of the claim or offer;
--               then the buyer; '': nobody has this place
--       NOCONFIG

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date()

-- The buyer with this score in `key`; nil: none.
local function at(key, score)
    return call('ZRANGEBYSCORE', key, score, score, 'LIMIT', 0, 1)[1]
end

local buyer, wanted = ARGV[1], ARGV[2]
if buyer == '' and wanted ~= '0' then
    buyer = at(K_QUEUE, wanted) or at(K_ACTIVE_PLACE, wanted) or at(K_PARKED, wanted) or at(K_PARKED, '-' .. wanted)
        or at(K_CONSUMED, wanted) or ''
end

local state, place, position, since = 'gone', '0', 0, 0
local banned = banned_of({buyer})[1]
local inside = not ev.over and call('ZSCORE', K_ACTIVE_PLACE, buyer)
local waiting = not inside and call('ZSCORE', K_QUEUE, buyer)
local parked = not inside and not waiting and call('ZSCORE', K_PARKED, buyer)
if banned then
    state, place = 'banned', banned:match('^%d+')
elseif inside then
    local offered, score = call('ZSCORE', K_OFFERED, buyer), call('ZSCORE', K_ACTIVE_SINCE, buyer)
    state, place = 'active', inside
    if offered and not score then
        state, since = 'offered', num(offered) + ev.gap
    else
        position, since = turn_times(buyer, score)
    end
elseif waiting then
    state, place, position = 'waiting', waiting, call('ZRANK', K_QUEUE, buyer) + 1
elseif parked then
    local own, needs_claim = parked_place(parked)
    state, place = needs_claim and 'unclaimed' or 'parked', own
end

local reply = answer({state, place, text(position), text(since)})
reply[12] = buyer
return reply
