-- SPDX-License-Identifier: MIT
--
-- A join that is wrong on purpose: the tests that race for the last slots must find that it admits more buyers than
-- the threshold.
--
-- It mimics a service that reads the number inside from Redis, decides, and adds the buyer in a second step, while other
-- callers do the same: each decides by a number that is one round trip old. As a script is atomic, the number is kept here
-- and read again only when it is CHECK_MS old. Everything else is right: one place per buyer, and the log has the true
-- number inside.
--
-- KEYS, ARGV and REPLY are those of lua/join.lua. Tickets and passes are ignored.

local CHECK_MS = 40

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date(tonumber(ARGV[1]))

local check = call('HMGET', K_STATS, 'mutant:at', 'mutant:inside')
local checked = num(check[2])
if not check[1] or ev.now - num(check[1]) > CHECK_MS then
    checked = ev.inside
    call('HSET', K_STATS, 'mutant:at', text(ev.now), 'mutant:inside', checked)
end

local modes, words = ARGV[2], {}
for i = 1, #modes do
    local b, state, place, position, since = ARGV[i + 2], 'gone', '0', 0, 0
    local inside = call('ZSCORE', K_ACTIVE_PLACE, b)
    local queued = call('ZSCORE', K_QUEUE, b)
    if inside then
        state, place, since = 'active', inside, num(call('ZSCORE', K_ACTIVE_SINCE, b)) + ev.gap
    elseif queued then
        state, place = 'waiting', queued
    elseif modes:sub(i, i) == 'j' then
        ev.seq = max(ev.seq + 1, ev.now_us)
        place = text(ev.seq)
        call('SET', K_SEQ, place)
        if checked < ev.threshold and ev.size == 0 and ev.status == 'open' then
            admit('direct', {b}, {place})
            state, since = 'direct', ev.now
        else
            call('ZADD', K_QUEUE, place, b)
            call('ZADD', K_QUEUE_SEEN, text(ev.service), b)
            ev.size = ev.size + 1
            state = 'waiting'
        end
    end
    if state == 'waiting' then
        position = call('ZRANK', K_QUEUE, b) + 1
    end
    for _, item in ipairs({state, place, position, since}) do
        words[#words + 1] = item
    end
end

return answer(words)
