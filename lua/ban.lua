-- SPDX-License-Identifier: MIT
--
-- ban: staff shut buyers out of an event, or take that back. PostgreSQL has the bans (table bans); this is their live copy.
--
-- KEYS  as in shared.lua
-- ARGV  1  ban, unban or sync
--       2  the channel to publish on
--       3  sync: config.banSeq, as it was before the bans were read; else ''
--       4  sync: the mark of the list (bans_mark in sql/functions/ban.sql); else ''
--       then three per buyer: buyer id; the place that PostgreSQL has kept for them (0: none); its epoch. ban and unban: one
--       buyer; sync: all who are banned, at most 1,000
-- REPLY OK and the numbers, then
--       ban, unban  one text with four words: what the buyer had until now (active, waiting, parked, gone), or with unban
--                   what they have now (parked, gone); the place that is kept for them, or given back; 0; 0
--       sync        applied (1: banned:{id} has these buyers now; 0: another ban came between, or there was nothing to do)
--       NOCONFIG
--
-- A banned buyer has nothing here but a line of banned:{id}, "place epoch": neither do they wait, nor are they inside. Their
-- turn ends (`banned` in the log), or they leave the queue (`barred`), and the place is kept there. unban parks them at it, so
-- that any call brings them back, unless the place was consumed or is of another epoch.
--
-- config.bans is how many are banned: without any, no other script looks here. config.banSeq counts the changes. config.bansMark is
-- the mark of the list that banned:{id} was after change number config.bansMarkSeq.
--
-- Invariants: repeating a call changes nothing. A place is in one of queue, parked, active:place and banned.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('XADD', K_LOG, 'SREM', K_ACTIVE, 'ZREM', K_QUEUE, 'ZADD', K_PARKED, 'HINCRBY', K_STATS, 'HGET', K_STATS,
    'HSET', K_KEPT, 'HSET', K_BANNED, 'HDEL', K_BANNED, 'HGETALL', K_BANNED, 'HSET', K_CONFIG, 'ZSCORE', K_CONSUMED)
bring_up_to_date()

local verb, channel, inside_before = ARGV[1], ARGV[2], ev.inside

-- Writes how many are banned now.
local function count_bans(change)
    ev.bans = ev.bans + change
    call('HSET', K_CONFIG, 'bans', ev.bans, 'banSeq', text(num(call('HGET', K_CONFIG, 'banSeq')) + 1))
end

-- Takes from b whatever they have. Returns its kind and the place.
local function take(b)
    if call('ZSCORE', K_ACTIVE_PLACE, b) then
        local score = call('ZSCORE', K_ACTIVE_SINCE, b)
        local place, since = end_admissions('banned', {b})[1], math.abs(num(score))
        if score then -- as after an idle end: no pass of this turn counts, and the next has what was left of the session
            call('HSET', K_KEPT, b, kept_write(place, max(0, ev.service - since), since + ev.gap, 0, 0))
        end
        return 'active', place
    end
    local place = call('ZSCORE', K_QUEUE, b)
    if place then
        record('barred', b, place, ev.inside, admitted())
        call('ZREM', K_QUEUE, b)
        call('ZREM', K_QUEUE_SEEN, b)
        call('HINCRBY', K_STATS, 'barred', 1)
        ev.size = ev.size - 1
        return 'waiting', place
    end
    local score = call('ZSCORE', K_PARKED, b)
    if score then
        call('ZREM', K_PARKED, b)
        return 'parked', (parked_place(score))
    end
    return 'gone', '0'
end

-- The place in a line of banned:{id}; '0': none that counts.
local function noted_place(note)
    local place, epoch = (note or ''):match('^(%d+) (%d+)$')
    return place and num(epoch) == ev.epoch and place or '0'
end

local function ban(b, given)
    local note = call('HGET', K_BANNED, b)
    local had, place = take(b)
    if place == '0' then
        place = note and noted_place(note) or noted_place(given)
    end
    local line = place .. ' ' .. text(ev.epoch)
    if note ~= line then
        call('HSET', K_BANNED, b, line)
        count_bans(note and 0 or 1)
    end
    publish(channel, '{"eventId":"' .. K_CONFIG:match('{(.*)}') .. '","event":"banned","payload":{"buyer":'
        .. cjson.encode(b) .. '}}')
    return had, place
end

local function unban(b, given)
    local note = call('HGET', K_BANNED, b)
    local place = noted_place(note)
    if place == '0' then
        place = noted_place(given)
    end
    if note then
        call('HDEL', K_BANNED, b)
        count_bans(-1)
    end
    local has = call('ZSCORE', K_ACTIVE_PLACE, b) or call('ZSCORE', K_QUEUE, b) or call('ZSCORE', K_PARKED, b)
    if place == '0' or has or num(place) <= num(call('ZSCORE', K_CONSUMED, b)) then
        return 'gone', '0'
    end
    call('ZADD', K_PARKED, place, b)
    return 'parked', place
end

local function sync()
    local wanted, changed = {}, 0
    if num(ARGV[3]) ~= num(call('HGET', K_CONFIG, 'banSeq')) then
        return 0
    end
    local lines, known = call('HGETALL', K_BANNED), {}
    for i = 1, #lines, 2 do
        known[lines[i]] = true
    end
    for i = 5, #ARGV, 3 do
        wanted[ARGV[i]] = true
        if not known[ARGV[i]] then
            ban(ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
            changed = 1
        end
    end
    for i = 1, #lines, 2 do
        if not wanted[lines[i]] then
            unban(lines[i])
            changed = 1
        end
    end
    if ev.bans ~= #lines / 2 and changed == 0 then -- an erasure has taken a line
        ev.bans = #lines / 2
        count_bans(0)
    end
    call('HSET', K_CONFIG, 'bansMark', ARGV[4], 'bansMarkSeq', text(num(call('HGET', K_CONFIG, 'banSeq'))))
    return changed
end

local result
if verb == 'sync' then
    local applied = sync()
    result = numbers()
    result[11] = applied
else
    local act = verb == 'ban' and ban or unban
    local state, place = act(ARGV[5], ARGV[6] .. ' ' .. ARGV[7])
    result = answer({state, place, 0, 0})
end
if ev.inside < inside_before then
    hint()
end
return result
