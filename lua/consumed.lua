-- SPDX-License-Identifier: MIT
--
-- consumed: in a restore window, loads the consumed places from PostgreSQL, in chunks.
--
-- KEYS  as in shared.lua
-- ARGV  1  epoch the places belong to
--       2  run: text that no other load has
--       3  number of the chunk in its run; 0 begins the run, before PostgreSQL is asked
--       4  1: the last chunk; everything is loaded, so that the window can end
--       then two per buyer, at most 500 buyers: buyer id, place
-- REPLY OK and the numbers, then applied (0: another epoch is in force, or earlier chunks of this run
--       are missing: begin a new one), removed (buyers who had a place that is consumed)
--       NOCONFIG
--
-- config.consumedChunk is the chunk that came last. If Redis loses its data, or its last writes, in
-- the middle of a run, the earlier chunks are lost with it and the next ones are refused; so are the
-- rest of a run after another one has begun.
--
-- Invariants: consumedLoaded is set only when every chunk of one run is there. Then nobody waits, or
-- is inside, at a place at or below their consumed one. Consumed places only rise. Repeating a call
-- changes nothing.

if not open() then
    return {'NOCONFIG'}
end
settle()

local applied, removed = 0, 0

local function load_consumed()
    local buyers, places = {}, {}
    for i = 5, #ARGV, 2 do
        buyers[#buyers + 1] = ARGV[i]
        places[#places + 1] = ARGV[i + 1]
        places[#places + 1] = ARGV[i]
    end
    if #buyers == 0 then
        return
    end
    call('ZADD', K_CONSUMED, 'GT', unpack(places))
    local consumed = call('ZMSCORE', K_CONSUMED, unpack(buyers))
    -- The members of `key` whose place there is consumed, each once.
    local function used_up(key)
        local scores, list, listed = call('ZMSCORE', key, unpack(buyers)), {}, {}
        for i = 1, #buyers do
            local b = buyers[i]
            if scores[i] and tonumber(scores[i]) <= tonumber(consumed[i]) and not listed[b] then
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
        ev.size = ev.size - #list
    end
    list = used_up(K_PARKED)
    if #list > 0 then
        call('ZREM', K_PARKED, unpack(list))
    end
    -- Inside, though the admission had ended: Redis has lost that the buyer left.
    depart('left', used_up(K_ACTIVE_PLACE))
end

-- The next chunk of its run; or the same again, because its reply was lost.
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
