-- SPDX-License-Identifier: MIT
--
-- shared: what the scripts have in common: the event as it is now, the capacity, and the three
-- functions that change active:{id}. It is put in front of each script when the binary is built,
-- because scripts cannot call one another inside Redis.
--
-- Only admit, depart and forget change active:{id}, and each of them writes the log: an entry for
-- each buyer who enters or leaves, or one entry `cleared` for all of them. So the log always says
-- how many buyers are inside.
--
-- KEYS are the same in every script but seats, and have the names K_CONFIG, K_QUEUE and so on:
-- src/queue/queue_keys.h lists them, and docs/redis-keys.md says what each holds. They share the hash
-- tag {id}, so that a script stays on one cluster slot.
--
-- Every reply is an array (the two exceptions, lease and seats, say so at their heads). Its first
-- item is a code:
--   OK        followed by "the numbers": status, restoring (0|1), version, epoch, queue size, number
--             inside, effective threshold, now (ms of Redis' clock), seq (the last place given). The
--             script's own items come after them.
--   NOCONFIG  Redis has no settings of the event; nothing was changed. The caller runs configure and
--             repeats the call.
--   LEASE     the caller does not hold the lease; nothing was changed.
--
-- Places are microseconds of Redis' TIME, made strictly increasing. They have 16 digits, and Lua
-- would print them as 1.79e+15. So text() formats every large number that goes into a command: '%d'
-- is exact up to 2^53, as '%.0f' is, and costs a third of it. Numbers in a reply need no formatting:
-- Redis converts them to 64-bit integers.
--
-- Service time is TIME - config.gapMs. Heartbeats and times of admission are kept in it, so that
-- nobody counts as idle because Redis could not be reached. measure_gap() finds such gaps: the lease
-- is renewed every second, so if no script has run for over 3 s, Redis was out of reach, and that
-- time is added to gapMs. When the clock steps back (a failover to a host whose clock is behind), the
-- step is subtracted from gapMs, which may then be negative. So service time may stand still for a
-- moment, but never goes back, and no heartbeat lies in the future.
--
-- The status in force follows from the stored status and the times. No script stores a status: the
-- processor writes a change to PostgreSQL, and configure brings it back here.
--   closed    stored closed, or closesAt has passed
--   scheduled stored scheduled or open, and opensAt is in the future (or scheduled without one)
--   open      stored open, or stored scheduled and opensAt has passed
--   paused, sold_out, draft: as stored

local call, format = redis.call, string.format
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min

local GAP_MIN_MS = 3000 -- when no script ran for longer than this, there was a gap
local LAST_RUN_WRITE_MS = 500 -- lastRunMs is written at most once in this time

-- The event as it is now. read_event() and bring_up_to_date() fill it in. A script that changes the
-- queue size, the number inside or seq changes ev.size, ev.inside or ev.seq as well.
local ev = {}

-- All digits of a number, where Lua would use an exponent.
local function text(number)
    return format('%d', number)
end

local function num(value)
    return tonumber(value) or 0
end

-- Is log id a older than b? Compared as two numbers each: as texts, 999-0 would come after 1000-0.
local function older(a, b)
    local a_ms, a_seq = a:match('^(%d+)%-(%d+)$')
    local b_ms, b_seq = b:match('^(%d+)%-(%d+)$')
    a_ms, b_ms = num(a_ms), num(b_ms)
    return a_ms < b_ms or (a_ms == b_ms and num(a_seq) < num(b_seq))
end

local function status_in_force(stored, opens, closes, now)
    if stored == 'draft' then
        return stored
    end
    if stored == 'closed' or (closes > 0 and now >= closes) then
        return 'closed'
    end
    if stored == 'open' and opens > now then
        return 'scheduled'
    end
    if stored == 'scheduled' and opens > 0 and now >= opens then
        return 'open'
    end
    return stored
end

-- Reads the event into ev. False: Redis has no settings of it. Writes nothing.
local function read_event()
    local time = call('TIME')
    ev.now_us = time[1] * 1000000 + time[2]
    ev.now = floor(ev.now_us / 1000)
    local c = call('HMGET', K_CONFIG, 'version', 'epoch', 'status', 'opensAt', 'closesAt',
        'threshold', 'surge', 'surgeAt', 'lastRunMs', 'gapMs', 'restoreUntil', 'consumedLoaded',
        'restoreMs', 'autoHold', 'seats', 'outflowPerMinute')
    if not c[1] then
        return false
    end
    ev.version, ev.epoch = num(c[1]), num(c[2])
    ev.status = status_in_force(c[3], num(c[4]), num(c[5]), ev.now)
    ev.base, ev.surge, ev.surge_at = num(c[6]), c[7] or '', num(c[8])
    ev.last_run, ev.gap = num(c[9]), num(c[10])
    ev.restore_until, ev.consumed_loaded = num(c[11]), c[12] ~= '0'
    ev.restore_ms = num(c[13])
    ev.auto_hold, ev.seats, ev.outflow = num(c[14]), num(c[15]), num(c[16])
    ev.seq = num(call('GET', K_SEQ))
    ev.size, ev.inside = call('ZCARD', K_QUEUE), call('SCARD', K_ACTIVE)
    ev.service = ev.now - ev.gap
    -- The restore window ends when its time is over and the consumed places have been loaded.
    ev.restoring = ev.restore_until > 0 and (ev.now < ev.restore_until or not ev.consumed_loaded)
    return true
end

-- Moves the end of an open restore window by `by` ms: it is a time of Redis' clock, which has stepped
-- back by as much.
local function move_window(by)
    if ev.restore_until > 0 then
        ev.restore_until = ev.restore_until + by
        ev.restoring = ev.now < ev.restore_until or not ev.consumed_loaded
        call('HSET', K_CONFIG, 'restoreUntil', text(ev.restore_until))
    end
end

-- Adds the time in which no script could run to the gap; keeps lastRunMs.
local function measure_gap()
    local late = ev.now - ev.last_run
    if ev.last_run > 0 and (late > GAP_MIN_MS or late < 0) then
        if late < 0 then
            move_window(late)
        end
        ev.gap = ev.gap + late
        ev.service = ev.now - ev.gap
        call('HSET', K_CONFIG, 'lastRunMs', ev.now, 'gapMs', text(ev.gap))
    elseif ev.last_run == 0 or late > LAST_RUN_WRITE_MS then
        call('HSET', K_CONFIG, 'lastRunMs', ev.now)
    end
end

-- Opens the restore window, after Redis has lost places that were given. seq is raised to `known` and
-- to the clock, so that no place is given twice.
local function open_restore_window(known)
    ev.seq = max(ev.seq, known, ev.now_us)
    ev.restore_until = ev.now + ev.restore_ms
    ev.consumed_loaded, ev.restoring = false, true
    call('SET', K_SEQ, text(ev.seq))
    call('HSET', K_CONFIG, 'restoreUntil', text(ev.restore_until), 'consumedLoaded', 0, 'consumedChunk', '')
end

-- Sets the effective threshold: that of the highest surge rule that is on. A rule goes on when more
-- buyers than its queueAbove wait, and off below 80 % of it. When a rule is on, so are all lower ones.
-- So config.surgeAt, the queueAbove of the highest rule that is on, is the whole state.
local function apply_surge()
    local level, threshold = 0, ev.base
    for above, value in ev.surge:gmatch('(%d+):(%d+)') do
        above = tonumber(above)
        local on = ev.size > above or (ev.surge_at >= above and ev.size * 10 >= above * 8)
        if on and above >= level then
            level, threshold = above, tonumber(value)
        end
    end
    ev.threshold = threshold
    if level ~= ev.surge_at then
        ev.surge_at = level
        call('HSET', K_CONFIG, 'surgeAt', text(level))
    end
end

-- Called after read_event(): measures the gap, applies the surge rules, and opens the restore window if
-- a failover has lost writes. `known` is the highest place that the caller has ever seen, or nil: a seq
-- below it means that writes were lost.
local function bring_up_to_date(known)
    measure_gap()
    if known and known > ev.seq then
        open_restore_window(known)
    end
    if ev.surge == '' and ev.surge_at == 0 then
        ev.threshold = ev.base
    else
        apply_surge()
    end
end

-- kept: count by second.
local function outflow_write(kept)
    local list = {}
    for at, sum in pairs(kept) do
        list[#list + 1] = at .. ':' .. sum
    end
    call('HSET', K_CONFIG, 'outflow', table.concat(list, ' '))
end

-- The admissions of the last 60 s: their counts by second, and their sum. config.outflow holds them as
-- "second:count …", so that outflowPerMinute holds for any 60 s. After a step back of the clock some
-- seconds lie in the future: they are stored again as the present second, or they would count until
-- the clock has caught up.
local function outflow_used()
    local second, used, kept, ahead = floor(ev.now / 1000), 0, {}, false
    for at, count in (call('HGET', K_CONFIG, 'outflow') or ''):gmatch('(%d+):(%d+)') do
        if tonumber(at) > second then
            at, ahead = text(second), true
        end
        if second - tonumber(at) <= 60 then
            used = used + tonumber(count)
            kept[at] = (kept[at] or 0) + tonumber(count)
        end
    end
    if ahead then
        outflow_write(kept)
    end
    return kept, used
end

local function outflow_add(count)
    local kept, second = outflow_used(), text(floor(ev.now / 1000))
    kept[second] = (kept[second] or 0) + count
    outflow_write(kept)
end

-- The number of admissions so far: field n of the log.
local function admitted()
    return num(call('HGET', K_STATS, 'admitted'))
end

-- The seats that are left once every admitted buyer has their auto-hold; nil: seats do not limit
-- admissions. free:{id} says how many seats were free when the buyers of the first free.admitted
-- admissions had got theirs; each later admission will take autoHold more. Without free:{id} the
-- number is not known yet, and 0 is returned.
local function seats_left()
    if ev.seats == 0 or ev.auto_hold == 0 then
        return nil
    end
    local free = call('HMGET', K_FREE, 'free', 'admitted')
    if not free[1] then
        return 0
    end
    local later = max(0, admitted() - num(free[2]))
    return max(0, num(free[1]) - later * ev.auto_hold)
end

-- How many buyers may enter now, by threshold, seats and, if `limited`, outflowPerMinute. The division
-- by autoHold rounds up: the last buyer gets fewer seats, so that every seat can be sold.
local function capacity(limited)
    if ev.status ~= 'open' or ev.restoring then
        return 0
    end
    local left = ev.threshold - ev.inside
    if left > 0 and limited and ev.outflow > 0 then
        local _, used = outflow_used()
        left = min(left, ev.outflow - used)
    end
    if left > 0 then
        local seats = seats_left()
        if seats then
            left = min(left, ceil(seats / ev.auto_hold))
        end
    end
    return max(left, 0)
end

-- Appends an entry to the log; its fields: docs/redis-keys.md.
local function record(kind, buyer, place, inside, n)
    call('XADD', K_LOG, '*', 'kind', kind, 'buyer', buyer, 'place', place, 'epoch', ev.epoch,
        'at', ev.now, 'inside', inside, 'threshold', ev.threshold, 'n', n)
end

-- Admits buyers, in this order. The caller has checked the capacity, and removes the buyers from the
-- queue. places: their places as decimal text. since: their times of admission in service time, or nil
-- for now.
local function admit(kind, buyers, places, since)
    local count, alive, start, place = #buyers, {}, {}, {}
    if count == 0 then
        return
    end
    local service = text(ev.service)
    for i = 1, count do
        local b = buyers[i]
        alive[2 * i - 1], alive[2 * i] = service, b
        start[2 * i - 1], start[2 * i] = since and text(since[i]) or service, b
        place[2 * i - 1], place[2 * i] = places[i], b
    end
    call('SADD', K_ACTIVE, unpack(buyers))
    call('ZADD', K_ACTIVE_SEEN, unpack(alive))
    call('ZADD', K_ACTIVE_SINCE, unpack(start))
    call('ZADD', K_ACTIVE_PLACE, unpack(place))
    local n = call('HINCRBY', K_STATS, 'admitted', count) - count
    call('HINCRBY', K_STATS, kind, count)
    for i = 1, count do
        record(kind, buyers[i], places[i], ev.inside + i, n + i)
    end
    ev.inside = ev.inside + count
    if ev.outflow > 0 and kind ~= 'restored' then
        outflow_add(count)
    end
end

-- Ends the admissions of `buyers`, who are inside; none is named twice. Their places are consumed.
local function depart(kind, buyers)
    local count = #buyers
    if count == 0 then
        return
    end
    local places, consumed = call('ZMSCORE', K_ACTIVE_PLACE, unpack(buyers)), {}
    for i = 1, count do
        places[i] = places[i] or '0'
        consumed[2 * i - 1], consumed[2 * i] = places[i], buyers[i]
    end
    call('SREM', K_ACTIVE, unpack(buyers))
    call('ZREM', K_ACTIVE_SEEN, unpack(buyers))
    call('ZREM', K_ACTIVE_SINCE, unpack(buyers))
    call('ZREM', K_ACTIVE_PLACE, unpack(buyers))
    call('ZADD', K_CONSUMED, 'GT', unpack(consumed))
    local n = admitted()
    call('HINCRBY', K_STATS, kind, count)
    for i = 1, count do
        record(kind, buyers[i], places[i], ev.inside - i, n)
    end
    ev.inside = ev.inside - count
end

-- Begins a new epoch: removes all buyers from the queue and from the inside, and forgets consumed
-- places. seq, stats, log, free, lease and fence stay.
local function forget(epoch)
    call('UNLINK', K_QUEUE, K_QUEUE_SEEN, K_PARKED, K_ACTIVE, K_ACTIVE_SEEN, K_ACTIVE_SINCE, K_ACTIVE_PLACE, K_CONSUMED,
        K_INDEX)
    call('HSET', K_CONFIG, 'epoch', text(epoch), 'surgeAt', 0, 'outflow', '', 'restoreUntil', 0,
        'consumedLoaded', 1, 'consumedChunk', '')
    ev.epoch, ev.size, ev.inside, ev.surge_at = epoch, 0, 0, 0
    ev.restore_until, ev.consumed_loaded, ev.restoring = 0, true, false
    ev.threshold = ev.base
    call('HINCRBY', K_STATS, 'cleared', 1)
    record('cleared', '', '0', 0, admitted())
end

local function holds_lease(value)
    return call('GET', K_LEASE) == value
end

-- The items that every OK reply begins with.
local function numbers()
    return {'OK', ev.status, ev.restoring and 1 or 0, ev.version, ev.epoch, ev.size, ev.inside,
        ev.threshold, ev.now, ev.seq}
end

-- The reply of a call for many buyers: the numbers, then one text with four words for each buyer:
-- state, place, position, time of admission; a word without a meaning is 0. It is one text because
-- every item of a reply costs Redis and the caller as much as the decision about a buyer.
local function answer(words)
    local reply = numbers()
    reply[#reply + 1] = table.concat(words, ' ')
    return reply
end

-- end of shared.lua
