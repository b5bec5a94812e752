-- SPDX-License-Identifier: MIT
--
-- shared: what the scripts have in common: the event as it is now, the capacity, and the
-- functions that change active:{id}. It is put in front of each script when the binary is built,
-- because scripts cannot call one another inside Redis.
--
-- Only admit, end_admissions (called by depart, set_aside and ban) and forget change active:{id}, and each of
-- them writes the log: an entry for each buyer who enters or leaves, or one entry `cleared` for all of
-- them. So the log always says how many buyers are inside. The entry is their first write: nobody is
-- inside without one.
--
-- A buyer inside has an offer, until it is claimed, or a turn. Each is limited by one clock or two:
--   offer           active:offered: claimMs after the offer
--   turn            active:seen and active:since: idleTimeoutMs, sessionLimitMs
--   turn, paying    active:paying: the deadline of the payment. The buyer is not in active:seen, and the score
--                   in active:since is negative, so that neither of the other two limits applies
--
-- Redis does not take back what a script wrote before it failed. So a script that changes more than one
-- key calls must_may() before its first write: a user who lacks one of the commands (an ACL that was
-- changed under a running service) changes nothing.
--
-- KEYS are the same in every script but seats and sales, and have the names K_CONFIG, K_QUEUE and so on:
-- src/queue/queue_keys.h lists them, and docs/redis-keys.md says what each holds. They share the hash
-- tag {id}, so that a script stays on one cluster slot.
--
-- Every reply is an array (the exceptions, lease, seats, sales, probe, expire and person, say so at their heads).
-- Its first item is a code:
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
-- A newcomer's place is their first heartbeat, since it is the time when they joined: queue:seen:{id} has
-- no entry of them until a later one (first_heartbeat in promote.lua). Every other buyer who waits has an entry: a place
-- that was restored or returned says nothing about when its buyer was there last. Nor does one that runs
-- ahead of the clock, which a seq above the clock gives (a restore, a failover to a clock that is behind):
-- beyond AHEAD_US its newcomer gets an entry.
-- Places are times of Redis' clock, and do not know how much of it was no service time. So each change of
-- gapMs counts as a heartbeat of everybody who has no entry: config.gapSeq is the last place given before
-- it, and config.gapAt its service time. Nobody is silent because Redis was away, and no step of the clock
-- makes anybody seen in the future.
--
-- The status in force follows from the stored status and the times. No script stores a status: the
-- processor writes a change to PostgreSQL, and configure brings it back here.
--   closed    stored closed, or closesAt has passed
--   scheduled stored scheduled or open, and opensAt is in the future (or scheduled without one)
--   open      stored open, or stored scheduled and opensAt has passed
--   paused, sold_out, draft: as stored
-- Those who are inside when the event closes have their turns for closeGraceMs: read_event decides whether that is over
-- (ev.over), and every script that says where a buyer stands goes by it: then nobody is inside, whether or not promote
-- has ended the turn already.

local call, format = redis.call, string.format
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min

local GAP_MIN_MS = 3000 -- when no script ran for longer than this, there was a gap
local LAST_RUN_WRITE_MS = 500 -- lastRunMs is written at most once in this time
local AHEAD_US = 1000 -- a place so far ahead of the clock is still the time when its buyer joined

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

local may = redis.acl_check_cmd -- nil before Redis 7: there only the first write of a script is safe

-- How many arguments a command is asked for with, after its key: two, unless this says otherwise. Newer releases of
-- Redis (Debian 13's among them) refuse to judge a command that has too few or too many.
local asked_with = {XADD = 3, HGET = 1, ZSCORE = 1, ZRANK = 1, PUBLISH = 1, SPUBLISH = 1, SSUBSCRIBE = 0, SUNSUBSCRIBE = 0, GET = 0, DEL = 0, UNLINK = 0, EXISTS = 0,
    HGETALL = 0, INCR = 0, PTTL = 0, SCARD = 0, SMEMBERS = 0, SUBSCRIBE = 0, TYPE = 0, XLEN = 0, ZCARD = 0, TIME = -1, PING = -1}

-- May the user of this connection run the command on the key (or channel)? TIME and PING have none, it is passed over.
local function may_on(command, key)
    local count = asked_with[command] or 2
    if count == 2 then
        return may(command, key, '', '')
    elseif count == 1 then
        return may(command, key, '')
    elseif count == 0 then
        return may(command, key)
    elseif count == -1 then
        return may(command)
    end
    return may(command, key, '', '', '')
end

-- Ends the script unless the user of this connection may run each command: a list of command, key,
-- command, key. It costs a tenth of a microsecond per command, so each command is named once, with one
-- of its keys; probe.lua checks all keys.
local function must_may(...)
    local list = {...}
    for i = 1, may and #list or 0, 2 do
        if not may_on(list[i], list[i + 1]) then
            error({err = 'NOPERM the Redis user may not run ' .. list[i] .. ' on ' .. list[i + 1]})
        end
    end
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

-- Are the turns of a closed event over? grace: closeGraceMs; -1: they run to their ends. at: when PostgreSQL noted the
-- closing, ms; 0: it has not, and closesAt closed the event. With 0 nobody stays, whatever the two clocks say.
local function turns_over(grace, at, closes, now)
    if grace <= 0 then
        return grace == 0
    end
    if closes > 0 and closes <= now and (at == 0 or closes < at) then
        at = closes
    end
    return now >= at + grace
end

-- Reads the event into ev. False: Redis has no settings of it. Writes nothing.
local function read_event()
    local time = call('TIME')
    ev.now_us = time[1] * 1000000 + time[2]
    ev.now = floor(ev.now_us / 1000)
    local c = call('HMGET', K_CONFIG, 'version', 'epoch', 'status', 'opensAt', 'closesAt',
        'threshold', 'surge', 'surgeAt', 'lastRunMs', 'gapMs', 'restoreUntil', 'consumedLoaded',
        'restoreMs', 'autoHold', 'seats', 'outflowPerMinute', 'feedback', 'closeGraceMs', 'closedAt',
        'bans')
    if not c[1] then
        return false
    end
    ev.version, ev.epoch = num(c[1]), num(c[2])
    ev.status = status_in_force(c[3], num(c[4]), num(c[5]), ev.now)
    ev.over = ev.status == 'closed' and turns_over(tonumber(c[18]) or -1, c[3] == 'closed' and num(c[19]) or 0, num(c[5]), ev.now)
    ev.base, ev.surge, ev.surge_at = num(c[6]), c[7] or '', num(c[8])
    ev.last_run, ev.gap = num(c[9]), num(c[10])
    ev.restore_until, ev.consumed_loaded = num(c[11]), c[12] ~= '0'
    ev.restore_ms = num(c[13])
    ev.auto_hold, ev.seats, ev.outflow = num(c[14]), num(c[15]), num(c[16])
    ev.feedback = num(c[17]) -- 0: none
    ev.bans = num(c[20]) -- how many are banned
    ev.tokens = nil
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

-- Adds the time in which no script could run to config.gapMs, and stores lastRunMs.
local function measure_gap()
    local late = ev.now - ev.last_run
    if ev.last_run > 0 and (late > GAP_MIN_MS or late < 0) then
        if late < 0 then
            move_window(late)
        end
        ev.gap = ev.gap + late
        ev.service = ev.now - ev.gap
        call('HSET', K_CONFIG, 'lastRunMs', ev.now, 'gapMs', text(ev.gap), 'gapSeq', text(ev.seq),
            'gapAt', text(ev.service))
    elseif ev.last_run == 0 or late > LAST_RUN_WRITE_MS then
        call('HSET', K_CONFIG, 'lastRunMs', ev.now)
    end
end

-- Opens the restore window, after Redis has lost places that were given. seq is raised to `known` and
-- to the clock, so that no place is given twice. restoredTo: the places up to it may come back by tickets
-- without another loss.
local function open_restore_window(known)
    must_may('SET', K_SEQ, 'HSET', K_CONFIG)
    ev.seq = max(ev.seq, known, ev.now_us)
    ev.restore_until = ev.now + ev.restore_ms
    ev.consumed_loaded, ev.restoring = false, true
    call('SET', K_SEQ, text(ev.seq))
    call('HSET', K_CONFIG, 'restoreUntil', text(ev.restore_until), 'consumedLoaded', 0, 'consumedChunk', '',
        'restoredTo', text(ev.seq))
end

-- Sets the effective threshold: that of the highest surge rule that is on, or the base threshold if that
-- is greater: a surge never lowers the limit. A rule goes on when more buyers than its queueAbove wait,
-- and off below 80 % of it. When a rule is on, so are all lower ones. So config.surgeAt, the queueAbove of
-- the highest rule that is on, is the whole state.
local function apply_surge()
    local level, threshold = 0, ev.base
    for above, value in ev.surge:gmatch('(%d+):(%d+)') do
        above = tonumber(above)
        local on = ev.size > above or (ev.surge_at >= above and ev.size * 10 >= above * 8)
        if on and above >= level then
            level, threshold = above, tonumber(value)
        end
    end
    ev.threshold = max(ev.base, threshold)
    if level ~= ev.surge_at then
        ev.surge_at = level
        call('HSET', K_CONFIG, 'surgeAt', text(level))
    end
end

-- Called after read_event(): measures the gap, applies the surge rules and the limit of feedback.lua, and
-- opens the restore window if a failover has lost writes. `known` is the highest place that the caller has ever seen, or nil: a seq
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
    ev.most = ev.threshold
    if ev.feedback > 0 then -- last, whatever base and surge give
        ev.threshold = min(ev.threshold, ev.feedback)
    end
end

-- outflowPerMinute is a token bucket: an admission takes a token; tokens come at the rate, and it holds at most one
-- second's worth of them, but at least one. So no w seconds have more than w seconds' worth of admissions and that.
-- config.outflow is "level at rate": the tokens at time `at`, in TOKEN-ths, and the rate of that time. All three are
-- whole numbers below 2^53, so nothing is lost by rounding: `rate` TOKEN-ths come in each microsecond.
local TOKEN = 60000000 -- µs in a minute

-- The tokens there are now, in TOKEN-ths, as ev.tokens. Without a field the bucket is full. What came before a change
-- of the rate came at the old one. However small the rate, the bucket is full after a minute. When the clock steps
-- back, none come until `at` is written anew.
local function outflow_tokens()
    if not ev.tokens then
        local level, at, rate = (call('HGET', K_CONFIG, 'outflow') or ''):match('^(%d+) (%d+) (%d+)$')
        local most = max(TOKEN, ev.outflow * 1000000)
        if level then
            local passed = min(max(ev.now_us - tonumber(at), 0), TOKEN)
            most = min(most, tonumber(level) + passed * tonumber(rate))
        end
        ev.tokens = most
    end
    return ev.tokens
end

local function outflow_write()
    call('HSET', K_CONFIG, 'outflow', text(ev.tokens) .. ' ' .. text(ev.now_us) .. ' ' .. text(ev.outflow))
end

-- Takes tokens for so many admissions. An organizer may admit more than there are (promote): then none is left.
local function outflow_take(count)
    ev.tokens = max(0, outflow_tokens() - count * TOKEN)
    outflow_write()
end

-- ms until the next token; 0: there is one.
local function outflow_wait()
    return ceil(max(0, TOKEN - outflow_tokens()) / ev.outflow / 1000)
end

-- By the number of the buyer: a line, if they are banned (ban.lua). It costs nothing where nobody is.
local function banned_of(buyers)
    return ev.bans > 0 and call('HMGET', K_BANNED, unpack(buyers)) or {}
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

-- What limits admissions in each status but open.
local LIMITED_BY = {scheduled = 'scheduled', paused = 'paused', sold_out = 'seats', closed = 'closed', draft = 'closed'}

-- How many buyers may enter now, by threshold, seats and, if `limited`, outflowPerMinute; and which of them
-- is the least. The division by autoHold rounds up: the last buyer gets fewer seats, so that every seat can
-- be sold.
local function capacity(limited)
    if ev.status ~= 'open' then
        return 0, LIMITED_BY[ev.status]
    end
    if ev.restoring then
        return 0, 'restoring'
    end
    local left, by = ev.threshold - ev.inside, 'threshold'
    if left > 0 and limited and ev.outflow > 0 then
        local tokens = floor(outflow_tokens() / TOKEN)
        if tokens < left then
            left, by = tokens, 'outflow'
        end
    end
    if left > 0 then
        local seats = seats_left()
        if seats and ceil(seats / ev.auto_hold) < left then
            left, by = ceil(seats / ev.auto_hold), 'seats'
        end
    end
    return max(left, 0), by
end

-- Why no more buyers enter now, as a text of words, for people: the limit (that of capacity(), or `empty`:
-- nobody waits), then buyers waiting, number inside, effective threshold, base threshold,
-- outflowPerMinute, ms until it allows another admission, seats left (-: seats do not limit admissions).
local function limit_text(limited)
    local _, by = capacity(limited)
    local seats = seats_left()
    if ev.size == 0 and ev.status == 'open' and not ev.restoring then
        by = 'empty'
    end
    return table.concat({by, text(ev.size), text(ev.inside), text(ev.threshold), text(ev.base),
        text(ev.outflow), text(ev.outflow > 0 and outflow_wait() or 0), seats and text(seats) or '-'}, ' ')
end

-- Appends an entry to the log; its fields: docs/redis-keys.md.
local function record(kind, buyer, place, inside, n)
    call('XADD', K_LOG, '*', 'kind', kind, 'buyer', buyer, 'place', place, 'epoch', ev.epoch,
        'at', ev.now, 'inside', inside, 'threshold', ev.threshold, 'n', n)
end

-- Admits buyers, in this order. The caller has checked the capacity, and removes the buyers from the
-- queue afterwards. places: their places as decimal text. since: their times of admission in service
-- time, or nil for now. kind 'offered': the buyers have to claim() their turns; direct and restored
-- admissions are claimed at once.
local function admit(kind, buyers, places, since)
    local count, alive, start, place, number = #buyers, {}, {}, {}, {}
    if count == 0 then
        return
    end
    local service = text(ev.service)
    local n = admitted()
    for i = 1, count do
        local b, at = buyers[i], 2 * i
        record(kind, b, places[i], ev.inside + i, n + i)
        alive[at - 1], alive[at] = service, b
        start[at - 1], start[at] = since and text(since[i]) or service, b
        place[at - 1], place[at] = places[i], b
        number[at - 1], number[at] = n + i, b
    end
    call('SADD', K_ACTIVE, unpack(buyers))
    if kind == 'offered' then
        call('ZADD', K_OFFERED, unpack(start))
    else
        call('ZADD', K_ACTIVE_SEEN, unpack(alive))
        call('ZADD', K_ACTIVE_SINCE, unpack(start))
    end
    call('ZADD', K_ACTIVE_PLACE, unpack(place))
    call('ZADD', K_ACTIVE_N, unpack(number))
    call('HINCRBY', K_STATS, 'admitted', count)
    call('HINCRBY', K_STATS, kind, count)
    ev.inside = ev.inside + count
    if ev.outflow > 0 and kind ~= 'restored' then
        outflow_take(count)
    end
end

-- What kept:{id} says of a buyer's admissions to this place, all of which left it to them. note: the value
-- of the field, or false. Returns
--   used    ms of the session that a turn had used when it ended for idleness; nil: none has
--   since   when that turn had begun, ms of Redis' clock
--   missed  offers that ran out since the last claim
--   rest    service time before which no claim brings the buyer back
local function kept_read(note, place)
    local at, used, since, missed, rest = (note or ''):match('^(%d+) (%d*) (%d+) (%d+) (%d+)$')
    if at ~= place then
        return nil, 0, 0, 0
    end
    return tonumber(used), tonumber(since), tonumber(missed), tonumber(rest)
end

local function kept_write(place, used, since, missed, rest)
    return place .. ' ' .. (used and text(used) or '') .. ' ' .. text(since) .. ' ' .. text(missed) .. ' ' .. text(rest)
end

-- Claims the offers of `buyers`; none is named twice. Their session begins now. A buyer whose admission
-- ended for idleness before has only what was left of it.
local function claim(buyers)
    local count, alive, start, notes, stale = #buyers, {}, {}, {}, {}
    if count == 0 then
        return
    end
    local places, numbers = call('ZMSCORE', K_ACTIVE_PLACE, unpack(buyers)), call('ZMSCORE', K_ACTIVE_N, unpack(buyers))
    local kept, service = call('HMGET', K_KEPT, unpack(buyers)), text(ev.service)
    for i = 1, count do
        local b, place = buyers[i], places[i] or '0'
        local used, since, missed = kept_read(kept[i], place)
        record('claimed', b, place, ev.inside, numbers[i] or admitted())
        alive[2 * i - 1], alive[2 * i] = service, b
        start[2 * i - 1], start[2 * i] = text(ev.service - (used or 0)), b
        if kept[i] and not used then
            stale[#stale + 1] = b
        elseif missed > 0 then
            notes[#notes + 1], notes[#notes + 2] = b, kept_write(place, used, since, 0, 0)
        end
    end
    call('ZADD', K_ACTIVE_SEEN, unpack(alive))
    call('ZADD', K_ACTIVE_SINCE, unpack(start))
    call('ZREM', K_OFFERED, unpack(buyers))
    if #stale > 0 then
        call('HDEL', K_KEPT, unpack(stale))
    end
    if #notes > 0 then
        call('HSET', K_KEPT, unpack(notes))
    end
    call('HINCRBY', K_STATS, 'claimed', count)
end

-- Takes `buyers` out of the inside; none is named twice. Returns their places. Only depart(), set_aside() and ban.lua
-- call it: the first consumes the places, the others keep them.
local function end_admissions(kind, buyers)
    local places, numbers = call('ZMSCORE', K_ACTIVE_PLACE, unpack(buyers)), call('ZMSCORE', K_ACTIVE_N, unpack(buyers))
    for i = 1, #buyers do
        places[i] = places[i] or '0'
        record(kind, buyers[i], places[i], ev.inside - i, numbers[i] or admitted())
    end
    call('SREM', K_ACTIVE, unpack(buyers))
    call('ZREM', K_ACTIVE_SEEN, unpack(buyers))
    call('ZREM', K_ACTIVE_SINCE, unpack(buyers))
    call('ZREM', K_ACTIVE_PLACE, unpack(buyers))
    call('ZREM', K_ACTIVE_N, unpack(buyers))
    call('ZREM', K_OFFERED, unpack(buyers))
    call('ZREM', K_PAYING, unpack(buyers))
    call('HINCRBY', K_STATS, kind, #buyers)
    ev.inside = ev.inside - #buyers
    return places
end

-- Ends the admissions of `buyers`, who are inside; none is named twice. Their places are consumed.
local function depart(kind, buyers)
    if #buyers == 0 then
        return
    end
    local consumed = {}
    for i, place in ipairs(end_admissions(kind, buyers)) do
        consumed[2 * i - 1], consumed[2 * i] = place, buyers[i]
    end
    call('ZADD', K_CONSUMED, 'GT', unpack(consumed))
    call('HDEL', K_KEPT, unpack(buyers))
end

-- Ends the admissions of `buyers`, who keep their places: they are parked until they claim again. note(i, place)
-- gives the text for kept:{id}.
local function set_aside(kind, buyers, note)
    if #buyers == 0 then
        return
    end
    local moves, notes = {}, {}
    for i, place in ipairs(end_admissions(kind, buyers)) do
        moves[2 * i - 1], moves[2 * i] = '-' .. place, buyers[i]
        notes[2 * i - 1], notes[2 * i] = buyers[i], note(i, place)
    end
    call('ZADD', K_PARKED, unpack(moves))
    call('HSET', K_KEPT, unpack(notes))
end

-- The place in a score of parked:{id}, and whether only a claim brings the buyer back.
local function parked_place(score)
    if score:byte() == 45 then -- '-'
        return score:sub(2), true
    end
    return score, false
end

-- The time, ms of Redis' clock, before which no claim brings this parked buyer back; 0: any does.
local function rests_until(b, place)
    local _, _, _, rest = kept_read(call('HGET', K_KEPT, b), place)
    return rest > ev.service and rest + ev.gap or 0
end

-- What the answer says of a claimed turn: the deadline of a pending payment (0: none), and the time of
-- admission. score: that of active:since, negative while a payment is pending.
local function turn_times(b, score)
    local since = num(score)
    if since < 0 then
        return num(call('ZSCORE', K_PAYING, b)), ev.gap - since
    end
    return 0, since + ev.gap
end

-- Begins a new epoch: removes all buyers from the queue and from the inside, and forgets consumed
-- places and those of networks. Who is banned stays so. seq, stats, log, free, outflow, lease and fence stay.
local function forget(epoch)
    ev.epoch, ev.size, ev.inside, ev.surge_at = epoch, 0, 0, 0
    ev.restore_until, ev.consumed_loaded, ev.restoring = 0, true, false
    ev.threshold = ev.base
    record('cleared', '', '0', 0, admitted())
    call('UNLINK', K_QUEUE, K_QUEUE_SEEN, K_PARKED, K_ACTIVE, K_ACTIVE_SEEN, K_ACTIVE_SINCE, K_ACTIVE_PLACE,
        K_ACTIVE_N, K_OFFERED, K_PAYING, K_KEPT, K_CONSUMED, K_INDEX, K_NETWORKS, K_NETWORKS_TOP)
    call('HSET', K_CONFIG, 'epoch', text(epoch), 'surgeAt', 0, 'restoreUntil', 0,
        'consumedLoaded', 1, 'consumedChunk', '')
    call('HINCRBY', K_STATS, 'cleared', 1)
end

-- Publishes to the channel of the deployment, or to that of this event alone: its name has the event's hash tag, and it
-- stays on the event's shard. A user who may not publish loses the message alone, which is a hint.
local function publish(channel, message)
    redis.pcall(channel:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH', channel, message)
end

-- Tells the lease holder that buyers who wait can perhaps enter: a promote may follow at once, without waiting for the
-- tick. With promotion `interval` only if `paced`: outflowPerMinute alone keeps them out. Nothing is said again until a
-- promote has run (it empties hintedAt) or HINT_MS have passed: the message may be lost. The tick finds what no
-- hint has said.
local HINT_MS = 1000

local function hint(paced)
    if ev.size == 0 then
        return
    end
    local c = call('HMGET', K_CONFIG, 'promotion', 'channel', 'hintedAt')
    local since = ev.now - num(c[3])
    if not c[2] or not (paced or c[1] == 'continuous') or (since >= 0 and since < HINT_MS) then
        return
    end
    call('HSET', K_CONFIG, 'hintedAt', ev.now)
    publish(c[2], '{"eventId":"' .. K_CONFIG:match('{(.*)}') .. '","event":"hint","payload":{}}')
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
-- state, place, position or deadline of a payment, time of admission or offer; a word without a meaning
-- is 0. It is one text because every item of a reply costs Redis and the caller as much as the decision
-- about a buyer.
local function answer(words)
    local reply = numbers()
    reply[#reply + 1] = table.concat(words, ' ')
    return reply
end

-- end of shared.lua
