-- SPDX-License-Identifier: MIT
--
-- join: many buyers of one event join, or ask where they stand.
--
-- KEYS  as in shared.lua
-- ARGV  1       highest place of this event that the caller has ever seen; 0: none
--       then three per buyer, at most 500 buyers:
--               buyer id
--               mode: j = join, may take a new place; r = resume, never takes one
--               proof: '' or five numbers with a space between them: place and epoch of the
--               ticket; place, epoch and time of admission (ms) of the pass. 0 0 stands for no
--               ticket, 0 0 0 for no pass. The caller has verified both.
-- REPLY OK and the numbers, then one text with four words per buyer, in the order of ARGV:
--               state: active (inside), direct (inside, admitted by this call), waiting, closed
--               (not inside, and the event is over), gone (mode r found no place)
--               place; 0: none
--               position of a waiting buyer, from 1; otherwise 0
--               time of admission of a buyer inside, ms; otherwise 0. Gaps since then are added to
--               it, so that it plus the session limit is the time at which the session ends
--       NOCONFIG
--
-- What happens to a buyer depends on what Redis has of them; the first line that applies decides:
--   inside                          stays inside
--   pass, its place not consumed    inside again, if the threshold allows it; in a restore window only
--                                   after the consumed places have been loaded
--   waiting                         keeps their place
--   parked                          waits again, at the same place
--   ticket or pass, not consumed    waits at the place that it names
--   none of these, mode j           a new place: inside if the event is open, nobody waits and there
--                                   is capacity; otherwise at the tail of the queue
-- A waiting or parked buyer whose ticket or pass names a lower place gets that one. Tickets and passes
-- of another epoch count as absent. A ticket or pass can bring back a place only after Redis has lost
-- data: otherwise Redis still has the place, or it is consumed.
--
-- Invariants: after every admission the number inside is at most the effective threshold. A buyer
-- has one place. New places are above all places given before. Repeating a call, or naming a buyer
-- twice in one call, changes nothing but heartbeats.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date(tonumber(ARGV[1]))

local buyers = {}
for i = 2, #ARGV, 3 do
    buyers[#buyers + 1] = ARGV[i]
end
local is_active = call('SMISMEMBER', K_ACTIVE, unpack(buyers))
local queued = call('ZMSCORE', K_QUEUE, unpack(buyers))
local parked = call('EXISTS', K_PARKED) == 1 and call('ZMSCORE', K_PARKED, unpack(buyers)) or {}

local closed = ev.status == 'closed' or ev.status == 'draft'
local service = text(ev.service)
local seq_before = ev.seq

-- What has been decided. The index is that of the buyer's first occurrence in the call.
local first, states, places, since, fresh = {}, {}, {}, {}, {}
local left            -- capacity for direct admissions; computed when first needed
local new = 0         -- number of new places at the tail
local first_new       -- the lowest of them
local in_order = true -- the new places are the last ones of the queue, in the order of `fresh`
local joined, unparked = 0, 0

-- Decided but not yet written: arguments of ZADD for the queue and for heartbeats; direct admissions.
local moves, alive, direct_buyers, direct_places = {}, {}, {}, {}

local function flush()
    if #moves > 0 then
        call('ZADD', K_QUEUE, unpack(moves))
        moves = {}
    end
    if #alive > 0 then
        call('ZADD', K_QUEUE_SEEN, unpack(alive))
        alive = {}
    end
    if #direct_buyers > 0 then
        admit('direct', direct_buyers, direct_places)
        direct_buyers, direct_places = {}, {}
    end
end

local function queue_up(i, place)
    states[i], places[i] = 'waiting', text(place)
    local at = #moves
    moves[at + 1], moves[at + 2] = places[i], buyers[i]
end

-- Puts the buyer at a place that they had before.
local function wait_at(i, place)
    if states[i] ~= 'waiting' then
        ev.size = ev.size + 1
    end
    if fresh[i] or (first_new and place > first_new) then
        in_order, fresh[i] = false, nil
    end
    ev.seq = max(ev.seq, place)
    queue_up(i, place)
end

local function unpark(i)
    if states[i] == 'parked' then
        call('ZREM', K_PARKED, buyers[i])
        unparked = unparked + 1
    end
end

-- What the proof of buyer b is worth. Returns three values: the lower of the two places that ticket and
-- pass bring back, or nil; the place of the pass, or nil; the time of admission that the pass names. A
-- place of another epoch, or a consumed one, is brought back by nothing.
local function proven(b, proof)
    local ticket, ticket_epoch, pass, pass_epoch, at =
        proof:match('^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    if not ticket then
        return nil
    end
    ticket = tonumber(ticket_epoch) == ev.epoch and tonumber(ticket) or 0
    pass = tonumber(pass_epoch) == ev.epoch and tonumber(pass) or 0
    if ticket == 0 and pass == 0 then
        return nil
    end
    local consumed = num(call('ZSCORE', K_CONSUMED, b))
    ticket = ticket > consumed and ticket or nil
    pass = pass > consumed and pass or nil
    local lowest = ticket or pass
    if ticket and pass then
        lowest = min(ticket, pass)
    end
    return lowest, pass, num(at)
end

-- Admits the buyer again, as of the admission that the pass proves.
local function come_back_in(i, place, admitted_at)
    local b = buyers[i]
    flush()
    unpark(i)
    if states[i] == 'waiting' then
        call('ZREM', K_QUEUE, b)
        call('ZREM', K_QUEUE_SEEN, b)
        ev.size = ev.size - 1
        in_order, fresh[i] = false, nil
    end
    states[i], places[i] = 'active', text(place)
    since[i] = min(admitted_at - ev.gap, ev.service)
    ev.seq = max(ev.seq, place)
    admit('restored', {b}, {places[i]}, {since[i]})
    left = nil
end

-- Gives a new place: a direct admission, or the tail of the queue.
local function newcomer(i)
    ev.seq = max(ev.seq + 1, ev.now_us)
    joined = joined + 1
    if ev.size == 0 then
        left = left or capacity(true)
        if left > 0 then
            left = left - 1
            states[i], places[i], since[i] = 'direct', text(ev.seq), ev.service
            direct_buyers[#direct_buyers + 1] = buyers[i]
            direct_places[#direct_places + 1] = places[i]
            return
        end
    end
    ev.size = ev.size + 1
    new = new + 1
    first_new = first_new or ev.seq
    fresh[i] = new
    queue_up(i, ev.seq)
end

-- Decides about a buyer who is not inside.
local function advance(i, mode, proof)
    local state, best, pass, admitted_at = states[i]
    if proof ~= '' then
        best, pass, admitted_at = proven(buyers[i], proof)
    end
    if pass and (ev.consumed_loaded or not ev.restoring)
        and ev.inside + #direct_buyers < ev.threshold then
        come_back_in(i, pass, admitted_at)
        return
    end
    if state == 'waiting' then
        if best and best < tonumber(places[i]) then
            wait_at(i, best)
        end
    elseif state == 'parked' then
        local place = tonumber(places[i])
        unpark(i)
        wait_at(i, best and min(best, place) or place)
    elseif best then
        wait_at(i, best)
    elseif mode == 'j' then
        newcomer(i)
    end
    if states[i] == 'waiting' then
        local at = #alive
        alive[at + 1], alive[at + 2] = service, buyers[i]
    end
end

-- Decide, buyer by buyer.
local touched = {}
for i = 1, #buyers do
    local b = buyers[i]
    local me = first[b]
    if not me then
        me, first[b] = i, i
        if is_active[i] == 1 then
            states[i] = 'active'
            touched[#touched + 1] = service
            touched[#touched + 1] = b
        elseif queued[i] then
            states[i], places[i] = 'waiting', queued[i]
        elseif parked[i] then
            states[i], places[i] = 'parked', parked[i]
        else
            states[i], places[i] = 'gone', '0'
        end
    end
    local state = states[me]
    if not closed and state ~= 'active' and state ~= 'direct' then
        advance(me, ARGV[3 * i], ARGV[3 * i + 1])
    end
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
local words = {}
local at, tail = 0, ev.size - new
for i = 1, #buyers do
    local me = first[buyers[i]]
    local state, position, start = states[me], 0, 0
    if state == 'waiting' and not closed then
        if fresh[me] and in_order then
            position = tail + fresh[me]
        else
            position = (call('ZRANK', K_QUEUE, buyers[i]) or 0) + 1
        end
    elseif state == 'active' or state == 'direct' then
        places[me] = places[me] or call('ZSCORE', K_ACTIVE_PLACE, buyers[i]) or '0'
        since[me] = since[me] or num(call('ZSCORE', K_ACTIVE_SINCE, buyers[i]))
        start = since[me] + ev.gap
    end
    if closed and start == 0 then
        state = 'closed'
    end
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, places[me], position, start
    at = at + 4
end
return answer(words)
