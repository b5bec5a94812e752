-- SPDX-License-Identifier: MIT
--
-- consumed: loads the consumed places of PostgreSQL into Redis, in chunks, during a restore window.
--
-- KEYS  as in shared.lua
-- ARGV  1  epoch the places belong to
--       2  run: the name of this load, random text
--       3  number of the chunk in its run. Chunk 0 has no places: it begins the run before PostgreSQL
--          is asked
--       4  1: this is the last chunk, so the restore window may end
--       then five per buyer, at most 500 buyers: buyer id, consumed place (0: none), place that was kept when its
--       turn ended for idleness (0: none), ms of the session that this turn had used, when it had begun (ms)
-- REPLY OK and the numbers, then applied (0: the chunk was refused, because another epoch is in force
--       or the chunk before it is missing; the caller begins a new run), removed (number of buyers
--       who were removed because their place is consumed)
--       NOCONFIG
--
-- config.consumedChunk names the last chunk loaded. If Redis loses its data or its last writes during
-- a run, that field is lost with the chunks, so the next chunk is refused. Beginning another run also
-- makes the rest of this one be refused.
--
-- What is known of a place that was kept is stored as promote does. It is left alone where Redis knows it.
--
-- Invariants: consumedLoaded is set only when Redis has every chunk of one run. From then on nobody
-- waits, or is inside, at a place at or below their consumed one. Consumed places only rise. Repeating
-- a call changes nothing.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('HSET', K_CONFIG, 'ZADD', K_CONSUMED, 'ZMSCORE', K_CONSUMED, 'ZREM', K_QUEUE, 'XADD', K_LOG,
    'SREM', K_ACTIVE, 'HINCRBY', K_STATS, 'HGET', K_STATS, 'HMGET', K_KEPT, 'HDEL', K_KEPT)
bring_up_to_date()

local applied, removed = 0, 0

-- Notes of these buyers that a turn at their place has ended for idleness before. kept: place, used, since.
local function load_kept(buyers, kept)
    if #buyers == 0 then
        return
    end
    local known, notes = call('HMGET', K_KEPT, unpack(buyers)), {}
    for i = 1, #buyers do
        local place, used, since = unpack(kept[i])
        local known_used, _, missed, rest = kept_read(known[i], place)
        if not known_used then
            notes[#notes + 1], notes[#notes + 2] = buyers[i], kept_write(place, used, since, missed, rest)
        end
    end
    if #notes > 0 then
        call('HSET', K_KEPT, unpack(notes))
    end
end

local function load_consumed()
    local buyers, places, keepers, kept = {}, {}, {}, {}
    for i = 5, #ARGV, 5 do
        local b = ARGV[i]
        if ARGV[i + 1] ~= '0' then
            buyers[#buyers + 1] = b
            places[#places + 1], places[#places + 2] = ARGV[i + 1], b
        end
        if ARGV[i + 2] ~= '0' then
            keepers[#keepers + 1] = b
            kept[#kept + 1] = {ARGV[i + 2], num(ARGV[i + 3]), num(ARGV[i + 4])}
        end
    end
    load_kept(keepers, kept)
    if #buyers == 0 then
        return
    end
    call('ZADD', K_CONSUMED, 'GT', unpack(places))
    local consumed = call('ZMSCORE', K_CONSUMED, unpack(buyers))
    -- The buyers whose place in `key` is consumed. Each is named once, even if ARGV names it twice.
    local function used_up(key)
        local scores, list, listed = call('ZMSCORE', key, unpack(buyers)), {}, {}
        for i = 1, #buyers do
            local b = buyers[i]
            if scores[i] and math.abs(tonumber(scores[i])) <= tonumber(consumed[i]) and not listed[b] then
                list[#list + 1] = b
                listed[b] = true
            end
        end
        removed = removed + #list
        return list
    end
    local list = used_up(K_QUEUE)
    if #list > 0 then
        call('ZREM', K_QUEUE, unpack(list))
        call('ZREM', K_QUEUE_SEEN, unpack(list))
        call('HDEL', K_KEPT, unpack(list))
        ev.size = ev.size - #list
    end
    list = used_up(K_PARKED)
    if #list > 0 then
        call('ZREM', K_PARKED, unpack(list))
        call('HDEL', K_KEPT, unpack(list))
    end
    -- These buyers are inside only because Redis has lost the writes of their departure.
    depart('left', used_up(K_ACTIVE_PLACE))
end

-- Is this the first chunk, the one after the last, or the last one again (its reply was lost)?
local function follows(chunk)
    if chunk == 0 then
        return true
    end
    local at = call('HGET', K_CONFIG, 'consumedChunk')
    return at == ARGV[2] .. ':' .. text(chunk - 1) or at == ARGV[2] .. ':' .. text(chunk)
end

if num(ARGV[1]) == ev.epoch and follows(num(ARGV[3])) then
    applied = 1
    call('HSET', K_CONFIG, 'consumedChunk', ARGV[2] .. ':' .. text(num(ARGV[3])))
    load_consumed()
    if ARGV[4] == '1' and not ev.consumed_loaded then
        call('HSET', K_CONFIG, 'consumedLoaded', 1)
        ev.consumed_loaded = true
        ev.restoring = ev.restore_until > ev.now
    end
end
local reply = numbers()
reply[11], reply[12] = applied, removed
return reply
