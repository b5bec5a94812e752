-- SPDX-License-Identifier: MIT
--
-- consumed: in a restore window, brings back which places are used up, in chunks, from PostgreSQL.
--
-- KEYS  as in shared.lua
-- ARGV  1  epoch the places belong to
--       2  run: text that no other reload has
--       3  which chunk of the run this is; 0 begins it, before PostgreSQL is asked
--       4  last: 1 marks everything as loaded, so that the window can end
--       then two per buyer, at most 500 buyers: buyer id, place
-- REPLY OK and the numbers, then applied (0: another epoch is in force, or chunks before this one
--       are not here: begin anew), taken out (how many held a place that is used up)
--       NOCONFIG
--
-- config.consumedChunk says which chunk came last. Where Redis loses its data, or only its last writes,
-- amid a run, the chunks so far are gone with it, and those still to come are refused; so are those
-- of a run that another one has taken over from.
--
-- Invariants: what is marked as loaded has every chunk of one run. After it nobody waits, or is inside, at a place at or below his consumed one. Consumed
-- places only rise. Repeating it changes nothing.

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
    -- Of those who hold a place in `key`: the ones whose place is used up.
    local function used_up(key)
        local held, list, twice = call('ZMSCORE', key, unpack(buyers)), {}, {}
        for i = 1, #buyers do
            if held[i] and tonumber(held[i]) <= tonumber(consumed[i]) and not twice[buyers[i]] then
                list[#list + 1] = buyers[i]
                twice[buyers[i]] = true
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
    -- Inside, though his admission had ended: Redis has lost that he left.
    depart('left', used_up(K_ACTIVE_PLACE))
end

-- The next chunk of its run; or the same once more, its reply was lost.
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
