-- SPDX-License-Identifier: MIT
--
-- person: what Redis has of one buyer of an event; and its erasure.
--
-- KEYS  as in shared.lua, then sales:{id}
-- ARGV  1  read or erase
--       2  buyer id
--       3  id of the log entry after which to look; 0-0: from the start
--       4  how many entries of the log to look at; at most 1,000
--       5  the ledger's cursor: it has consumed the log up to this entry
--       6  erase: places that the buyer has had in this epoch, with a space between them
--       7  read: ids of the reservations that the buyer has bought, likewise
-- REPLY OK, but not the numbers; then
--       where the buyer is: gone, waiting, parked, offered, active or paying
--       id of the last log entry that was looked at; '': that was the end of the log
--       how many keys and entries of the log name the buyer (erase: named)
--       how many of these entries the ledger has not consumed; they stay
--       read: a JSON object {"key", "value"} for each, with commas between them; else ''
--       NOCONFIG, if there is nothing: without the event (its keys have expired) there may be copies of sales to read
--
-- It looks at every key in the list, whatever its type, so that a new key cannot be forgotten here. The copies of sales are
-- read by reservation; sales.lua replaces them (personal_erase in sql/functions/personal.sql).
--
-- A buyer who is not gone is not erased: nothing is changed then.
--
-- Without consumed:{id} a ticket that the buyer's browser still has would bring its place back, at the head of the queue. So each
-- place stays consumed under its own name, "x:" and the place (sql/functions/personal.sql), which join looks up for each
-- place but the one that the buyer has.
--
-- Invariants: an entry of the log goes only when PostgreSQL has it. Repeating a call changes nothing.

if not read_event() and (ARGV[1] == 'erase' or call('EXISTS', KEYS[#KEYS]) == 0) then
    return {'NOCONFIG'}
end

local erase, buyer = ARGV[1] == 'erase', ARGV[2]
local count = min(num(ARGV[4]), 1000)
local found, left, items = 0, 0, {}

local function where()
    if call('ZSCORE', K_ACTIVE_PLACE, buyer) then
        return call('ZSCORE', K_OFFERED, buyer) and 'offered' or call('ZSCORE', K_PAYING, buyer) and 'paying' or 'active'
    end
    return call('ZSCORE', K_QUEUE, buyer) and 'waiting' or call('ZSCORE', K_PARKED, buyer) and 'parked' or 'gone'
end

local state = where()
if erase and state ~= 'gone' then
    return {'OK', state, '', 0, 0, ''}
elseif erase then
    must_may('ZADD', K_CONSUMED, 'ZREM', K_QUEUE, 'SREM', K_ACTIVE, 'HDEL', K_KEPT, 'XDEL', K_LOG, 'XRANGE', K_LOG,
        'HGET', K_FREE, 'HSET', K_CONFIG, 'TYPE', K_CONFIG, 'SMISMEMBER', K_ACTIVE)
end

local function keep_places_consumed()
    local last = call('ZSCORE', K_CONSUMED, buyer)
    for place in (ARGV[6] .. ' ' .. (last or '')):gmatch('%d+') do
        call('ZADD', K_CONSUMED, 'GT', place, 'x:' .. place)
    end
end

-- By the type of a key: how to read what it has of the buyer, nil or false: nothing; and how to remove that.
local READ = {
    zset = function(key) return call('ZSCORE', key, buyer) end,
    hash = function(key) return call('HGET', key, buyer) end,
    set = function(key) return call('SMISMEMBER', key, buyer)[1] == 1 and '' end,
}
local REMOVE = {
    zset = function(key) call('ZREM', key, buyer) end,
    hash = function(key)
        local gone = call('HDEL', key, buyer)
        if key == K_BANNED then -- an erasure ends a ban, and consumes its place as any other
            call('HSET', K_CONFIG, 'bans', max(0, ev.bans - gone))
        end
    end,
    set = function(key) call('SREM', key, buyer) end,
}

local function note(key, value)
    found = found + 1
    if not erase then
        items[#items + 1] = '{"key":' .. cjson.encode(key) .. ',"value":' .. value .. '}'
    end
end

local function look_at_keys()
    local sales = KEYS[#KEYS]
    for id in ARGV[7]:gmatch('%S+') do
        local copy = not erase and call('HGET', sales, id)
        if copy then
            note(sales, cjson.encode(copy))
        end
    end
    for i = 1, #KEYS - 1 do
        local key = KEYS[i]
        local kind = call('TYPE', key).ok
        local value = READ[kind] and READ[kind](key)
        if value then
            note(key, cjson.encode(value))
            if erase then
                REMOVE[kind](key)
            end
        end
    end
end

-- Looks at the next entries of the log. Returns where to go on.
local function look_at_log()
    local free, ids = call('HGET', K_FREE, 'id') or '0-0', {}
    local entries = call('XRANGE', K_LOG, '(' .. ARGV[3], '+', 'COUNT', count)
    for i = 1, #entries do
        local id, fields = entries[i][1], entries[i][2]
        local named = {}
        for j = 1, #fields, 2 do
            named[fields[j]] = fields[j + 1]
        end
        if named.buyer == buyer then
            local waits = older(ARGV[5], id) or older(free, id)
            left = left + (waits and 1 or 0)
            if not (erase and waits) then
                named.id = id
                note(K_LOG, cjson.encode(named))
                ids[#ids + 1] = id
            end
        end
    end
    if erase and #ids > 0 then
        call('XDEL', K_LOG, unpack(ids))
    end
    return #entries == count and entries[#entries][1] or ''
end

if ARGV[3] == '0-0' then
    if erase then
        keep_places_consumed()
    end
    look_at_keys()
end
local last = look_at_log()
return {'OK', state, last, found, left, table.concat(items, ',')}
