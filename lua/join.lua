-- SPDX-License-Identifier: MIT
--
-- join: many buyers of one event join, or report that they are still there.
--
-- KEYS  as in shared.lua
-- ARGV  1       highest place the caller has ever seen of this event; 0: none
--       then three per buyer, at most 500 buyers:
--               buyer id
--               mode: j = join, may take a new place; r = resume, never takes one
--               proof: '' or five numbers with a space between them: place and epoch of his
--               ticket; place, epoch and time of admission (ms) of his pass. 0 0 stands for no
--               ticket, 0 0 0 for no pass. The caller has verified both.
-- REPLY OK and the numbers, then four per buyer, in the order of ARGV:
--               state: waiting, active, straight (active, let in by this very call), closed (he
--               is not inside and the event is over), gone (resume found nothing to return to)
--               place; 0 when he has none
--               position, from 1, of the waiting; else 0
--               time of admission, ms, of those inside; else 0 (gaps since then shift it, so that
--               it plus the session limit is when the session ends)
--       NOCONFIG
--
-- Who is inside stays inside. Who waits keeps his place; the parked come back at theirs. A ticket
-- or pass of this epoch whose place is not spent brings back that place when it is better than
-- what he has; so it helps only after Redis has lost something. A pass lets its buyer back in,
-- where there is room under the threshold; but in a restore window only when what is spent has
-- been loaded. Else he takes a new place: inside when the event is open, nobody waits and there
-- is room; or at the tail.
--
-- Invariants: after every admission the number inside is at most the effective threshold. One
-- place per buyer. New places are above all places given before. Calling again with the same
-- buyers changes nothing but their signs of life; so may the same buyer twice in one call.

if not open() then
    return {'NOCONFIG'}
end
settle(tonumber(ARGV[1]))

local buyers = {}
for i = 2, #ARGV, 3 do
    buyers[#buyers + 1] = ARGV[i]
end
local is_active = call('SMISMEMBER', K_ACTIVE, unpack(buyers))
local queued = call('ZMSCORE', K_QUEUE, unpack(buyers))
local parked = call('EXISTS', K_PARKED) == 1 and call('ZMSCORE', K_PARKED, unpack(buyers)) or {}

local closed = ev.status == 'closed' or ev.status == 'draft'
local seq_before = ev.seq
local left            -- room for those who come straight in; asked when first needed
local fresh = 0       -- new places at the tail
local first_fresh     -- the first of them
local in_order = true -- fresh places are the last ones of the queue, in this order
local moves, alive = {}, {}                  -- ZADD arguments not yet sent
local straight, straight_places = {}, {}     -- admissions not yet made
local unparked, joined = 0, 0
local service = text(ev.service)

-- Sends what has been decided so far.
local function flush()
    if #moves > 0 then
        call('ZADD', K_QUEUE, unpack(moves))
    end
    if #alive > 0 then
        call('ZADD', K_SEEN, unpack(alive))
    end
    admit('straight', straight, straight_places)
    moves, alive, straight, straight_places = {}, {}, {}, {}
end

local function queue_up(who, b, place)
    who.state, who.place = 'waiting', text(place)
    moves[#moves + 1] = who.place
    moves[#moves + 1] = b
end

-- Back to a place he had before.
local function wait_at(who, b, place)
    if who.state ~= 'waiting' then
        ev.size = ev.size + 1
    end
    if who.fresh or (first_fresh and place > first_fresh) then
        in_order, who.fresh = false, nil
    end
    ev.seq = max(ev.seq, place)
    queue_up(who, b, place)
end

local function leave_parked(who, b)
    if who.state == 'parked' then
        call('ZREM', K_PARKED, b)
        unparked = unparked + 1
    end
end

-- What his proofs are worth: the best place they give back, and whether the pass gives it.
local function proven(b, proof)
    local tp, te, pp, pe, since = proof:match('^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    if not tp then
        return nil
    end
    tp, pp = tonumber(tp), tonumber(pp)
    if tp == 0 or tonumber(te) ~= ev.epoch then
        tp = nil
    end
    if pp == 0 or tonumber(pe) ~= ev.epoch then
        pp = nil
    end
    if not tp and not pp then
        return nil
    end
    local spent = num(call('ZSCORE', K_SPENT, b))
    if pp and pp > spent then
        return min(pp, tp and tp > spent and tp or pp), pp, num(since)
    end
    return tp and tp > spent and tp or nil
end

local function come_back_in(who, b, place, since)
    flush()
    leave_parked(who, b)
    if who.state == 'waiting' then
        call('ZREM', K_QUEUE, b)
        call('ZREM', K_SEEN, b)
        ev.size = ev.size - 1
        in_order = false
    end
    who.state, who.place, who.fresh = 'active', text(place), nil
    who.since = min(since - ev.gap, ev.service)
    ev.seq = max(ev.seq, place)
    admit('restored', {b}, {who.place}, {who.since})
    if left then
        left = left - 1
    end
end

local function newcomer(who, b)
    ev.seq = max(ev.seq + 1, ev.now_us)
    joined = joined + 1
    if ev.size == 0 then
        left = left or room(true)
        if left > 0 then
            left = left - 1
            who.state, who.place, who.since = 'straight', text(ev.seq), ev.service
            straight[#straight + 1] = b
            straight_places[#straight_places + 1] = who.place
            return
        end
    end
    ev.size = ev.size + 1
    fresh = fresh + 1
    first_fresh = first_fresh or ev.seq
    who.fresh = fresh
    queue_up(who, b, ev.seq)
end

local function advance(who, b, mode, proof)
    if who.state == 'active' or who.state == 'straight' then
        return
    end
    if closed then
        return
    end
    local best, pass, since
    if proof ~= '' then
        best, pass, since = proven(b, proof)
    end
    if pass and (ev.spent_loaded or not ev.restoring)
        and ev.inside + #straight < ev.threshold then
        come_back_in(who, b, pass, since)
    elseif who.state == 'waiting' then
        if best and best < tonumber(who.place) then
            wait_at(who, b, best)
        end
    elseif who.state == 'parked' then
        local place = tonumber(who.place)
        leave_parked(who, b)
        wait_at(who, b, best and min(best, place) or place)
    elseif best then
        wait_at(who, b, best)
    elseif mode == 'j' then
        newcomer(who, b)
    end
    if who.state == 'waiting' then
        alive[#alive + 1] = service
        alive[#alive + 1] = b
    end
end

-- Decide, buyer by buyer.
local known, touched = {}, {}
for i = 1, #buyers do
    local b = buyers[i]
    local who = known[b]
    if not who then
        who = {state = 'gone', place = '0'}
        if is_active[i] == 1 then
            who.state = 'active'
            touched[#touched + 1] = service
            touched[#touched + 1] = b
        elseif queued[i] then
            who.state, who.place = 'waiting', queued[i]
        elseif parked[i] then
            who.state, who.place = 'parked', parked[i]
        end
        known[b] = who
    end
    advance(who, b, ARGV[3 * i], ARGV[3 * i + 1])
end

-- Write.
flush()
if #touched > 0 then
    call('ZADD', K_ACTIVE_SEEN, 'XX', unpack(touched))
end
if ev.seq > seq_before then
    call('SET', K_SEQ, text(ev.seq))
end
if joined > 0 then
    call('HINCRBY', K_STATS, 'joined', joined)
end
if unparked > 0 then
    call('HINCRBY', K_STATS, 'unparked', unparked)
end

-- Answer. New places are the last ones of the queue, so their positions follow from its length.
local reply = numbers()
local at = #reply
local tail = ev.size - fresh
for i = 1, #buyers do
    local who = known[buyers[i]]
    local state, position, since = who.state, 0, 0
    if state == 'active' and not who.since then
        who.place = call('ZSCORE', K_PLACE, buyers[i]) or '0'
        who.since = num(call('ZSCORE', K_SINCE, buyers[i]))
    end
    if who.since then
        since = who.since + ev.gap
    elseif closed then
        state = 'closed'
    elseif state == 'waiting' then
        if who.fresh and in_order then
            position = tail + who.fresh
        else
            position = (call('ZRANK', K_QUEUE, buyers[i]) or 0) + 1
        end
    end
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = state, who.place, position, since
    at = at + 4
end
return reply
