-- SPDX-License-Identifier: MIT
--
-- join: many buyers of one event join, or ask where they stand.
--
-- KEYS  as in shared.lua
-- ARGV  1       highest place of this event that the caller has ever seen; 0: none
--       2       one letter per buyer, at most 500: j = join, may take a new place; d = direct, takes a new
--               place only if it is inside; c = claim, takes none; r = resume, takes none and claims nothing;
--               n = j with a network. A capital J, D, C or R: with a network and a proof
--       3       then the buyer ids, as many as there are letters
--               then what the letters announce, in the order of the buyers: for n the network, for a capital
--               the network and the proof
--       network: the one that a new place counts for; '': it counts for none
--       proof: '' or five numbers with a space between them: place and epoch of the ticket; place, epoch and
--               time of admission (ms) of the pass. 0 0 stands for no ticket, 0 0 0 for no pass. The caller
--               has verified both.
-- REPLY OK and the numbers, then one text. If its first word is newcomers, the call gave a new place at the
--       tail to each of its buyers, one after the other: two words follow, the first buyer's place and
--       position; each further buyer's are one above those of the buyer before.
--       Otherwise it has four words per buyer, in the order of ARGV:
--               state: active (inside, claimed), direct (the same, admitted by this call), offered
--               (inside, not claimed), waiting, unclaimed (parked; only a claim brings them back),
--               closed (not inside, and the event is over), gone (no place, and none was asked for),
--               refused (the buyer's network has had as many new places as placesPerNetwork allows), banned
--               place; 0: none
--               position of a waiting buyer, from 1; deadline of an active buyer's pending payment,
--               ms; for an unclaimed one the time, ms, before which no claim brings them back; otherwise 0
--               when the session of an active buyer began, or when an offer was made, ms; otherwise
--               0. Gaps since then are added to it, so that it plus the session limit (or claimMs) is
--               the time at which the session (or the offer) ends
--       NOCONFIG
--
-- What happens to a buyer depends on what Redis has of them; the first line that applies decides:
--   banned                          nothing: whatever they have had or send is worthless (ban)
--   inside                          stays inside; an offer is claimed, unless the mode is r. Of a closed event only until
--                                   closeGraceMs is over; nothing but this and the next line applies to one
--   pass, its place not consumed    inside again, if the threshold allows it; in a restore window only
--                                   after the consumed places have been loaded. Not with the pass of a turn
--                                   that has ended for idleness (kept)
--   waiting                         keeps their place
--   parked                          waits again, at the same place; in mode r only a buyer who was
--                                   silent, not one who let an offer run out; that one not while
--                                   their place rests (promote)
--   ticket or pass, not consumed    waits at the place that it names
--   none of these, mode j           a new place: inside if the event is open, nobody waits and there
--                                   is capacity; otherwise at the tail of the queue. Above the limit
--                                   of the buyer's network: none
--   none of these, mode d           the same, if the place is inside; otherwise none, and nothing is counted
-- A waiting or parked buyer whose ticket or pass names a lower place gets that one, and the higher one is
-- consumed under its own name: a buyer has one place. Tickets and passes of another epoch count as absent.
-- A ticket or pass can bring back a place only after Redis has lost data: otherwise Redis still has the
-- place, or it is consumed. So one that names an unknown place from after the last loss opens the restore
-- window.
--
-- networks:{id} counts the new places of each network in this epoch. Only a new place counts: a buyer
-- who comes back does not, nor one whose ticket or pass of this epoch shows that they were counted.
--
-- Invariants: after every admission the number inside is at most the effective threshold. A buyer
-- has one place. New places are above all places given before. Repeating a call, or naming a buyer
-- twice in one call, changes nothing but heartbeats and the count of refusals.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date(tonumber(ARGV[1]))

local modes = ARGV[2]
local count = #modes
local buyers = {unpack(ARGV, 3, count + 2)}
local networks, proofs = {}, {} -- by the number of the buyer; none: nil
local JOIN, DIRECT, RESUME, NETWORK = ('j'):byte(), ('d'):byte(), ('r'):byte(), ('n'):byte()

-- The mode of buyer i: j, d, c or r, as a byte.
local function mode_of(i)
    local letter = modes:byte(i)
    return letter == NETWORK and JOIN or letter < 97 and letter + 32 or letter
end

local function read_details()
    local at = count + 2
    for i = 1, count do
        local letter = modes:byte(i)
        if letter == NETWORK then
            at = at + 1
            networks[i] = ARGV[at]
        elseif letter < 97 then
            networks[i], proofs[i] = ARGV[at + 1] ~= '' and ARGV[at + 1] or nil, ARGV[at + 2]
            at = at + 2
        end
    end
end
if not modes:find('[^n]') then
    networks = {unpack(ARGV, count + 3)}
elseif modes:find('[^jdcr]') then
    read_details()
end

local closed = ev.status == 'closed' or ev.status == 'draft'
local service = text(ev.service)
local is_active = ev.inside > 0 and not ev.over and call('SMISMEMBER', K_ACTIVE, unpack(buyers)) or {}
local banned = banned_of(buyers)
local parked = call('EXISTS', K_PARKED) == 1 and call('ZMSCORE', K_PARKED, unpack(buyers)) or {}

-- ---- networks: how many new places each has had ----

local BUSIEST = 10 -- networks that networks:top:{id} keeps
local STEP = 20 -- a network is noted there whenever it has got so many more places
-- The networks of this call have numbers. By number: the name; the new places, those of before this call included; how
-- many of them this call gave; how many it refused. per_network is 0 when there is no limit.
local number_of, names, had, given, refused, refusals, per_network = {}, {}, {}, {}, {}, 0, 0

-- Reads what the networks of these buyers have had: one command for all. `known`: of the buyers that are
-- known in the queue none counts.
local function read_networks(known)
    local n = 0
    number_of, names, had, given = {}, {}, {}, {}
    for i = 1, count do
        local network = networks[i]
        if network and not number_of[network] and is_active[i] ~= 1 and not parked[i] and not known[i] then
            n = n + 1
            number_of[network], names[n], given[n] = n, network, 0
        end
    end
    per_network = n > 0 and num(call('HGET', K_CONFIG, 'placesPerNetwork')) or 0
    if per_network == 0 then
        networks = {}
        return
    end
    local counts = call('HMGET', K_NETWORKS, unpack(names))
    for i = 1, n do
        had[i] = counts[i] and tonumber(counts[i]) or 0
    end
end

local function write_networks()
    local counts, at, top, digits = {}, 0, {}, {} -- digits: texts of numbers, since few differ
    for i = 1, #names do
        local network, total, new, no = names[i], had[i], given[i], refused[i]
        if new > 0 then
            local word = digits[total] or text(total)
            counts[at + 1], counts[at + 2], digits[total], at = network, word, word, at + 2
        end
        if no then
            call('HINCRBY', K_NETWORKS, '!' .. network, no)
        end
        if no or (new > 0 and (total == per_network or total % STEP < new)) then
            top[#top + 1] = total
            top[#top + 1] = network
        end
    end
    if #counts > 0 then
        call('HSET', K_NETWORKS, unpack(counts))
    end
    if #top > 0 then
        call('ZADD', K_NETWORKS_TOP, unpack(top))
        call('ZREMRANGEBYRANK', K_NETWORKS_TOP, 0, -BUSIEST - 1)
    end
    if refusals > 0 then
        call('HINCRBY', K_STATS, 'refused', refusals)
    end
end

-- ---- newcomers alone ----

-- The rush: every buyer of the call wants a new place and proves nothing, and somebody waits already. One ZADD
-- gives the places, and its count says whether all were new: no buyer is looked up, and all but a few steps are
-- for the call as a whole. Returns the answer. nil: it is another kind of call, or somebody in it is inside or
-- parked, or a network has reached its limit: nothing was written, and the general way below decides.
local function all_newcomers()
    local first = max(ev.seq + 1, ev.now_us)
    if ev.size == 0 or closed or modes:find('[^jn]') or first + count - 1 - ev.now_us > AHEAD_US then
        return nil
    end
    for i = 1, count do
        if is_active[i] == 1 or parked[i] or banned[i] then
            return nil
        end
    end
    local limited = next(networks) ~= nil
    if limited then
        read_networks({})
        for i = 1, per_network > 0 and count or 0 do
            local n = number_of[networks[i]]
            if n then
                local total = had[n] + 1
                if total > per_network then
                    return nil
                end
                had[n], given[n] = total, given[n] + 1
            end
        end
    end
    must_may('ZADD', K_QUEUE, 'SET', K_SEQ, 'HINCRBY', K_STATS)
    if per_network > 0 then
        must_may('HSET', K_NETWORKS, 'ZREMRANGEBYRANK', K_NETWORKS_TOP)
    end
    local moves = {}
    for i = 1, count do
        moves[2 * i - 1], moves[2 * i] = text(first + i - 1), buyers[i]
    end
    local new, words = call('ZADD', K_QUEUE, 'NX', unpack(moves)), nil
    if new == count then
        words, ev.seq = {'newcomers', moves[1], ev.size + 1}, first + count - 1
    else -- the others waited already, or were named before in this call: this is a heartbeat of theirs
        local scores, alive, position = call('ZMSCORE', K_QUEUE, unpack(buyers)), {}, ev.size
        words = {}
        for i = 1, count do
            local at, place, own = 4 * i, scores[i], nil
            if place == moves[2 * i - 1] then
                position = position + 1
                own, ev.seq = position, first + i - 1
            else
                own = call('ZRANK', K_QUEUE, buyers[i]) + 1
                alive[#alive + 1] = service
                alive[#alive + 1] = buyers[i]
                local n = number_of[networks[i]]
                if n then
                    had[n], given[n] = had[n] - 1, given[n] - 1
                end
            end
            words[at - 3], words[at - 2], words[at - 1], words[at] = 'waiting', place, own, 0
        end
        call('ZADD', K_QUEUE_SEEN, unpack(alive))
    end
    if new > 0 then
        ev.size = ev.size + new
        call('SET', K_SEQ, text(ev.seq))
        call('HINCRBY', K_STATS, 'joined', new)
        if per_network > 0 then
            write_networks()
        end
    end
    return answer(words)
end

local newcomers = all_newcomers()
if newcomers then
    return newcomers
end

-- ---- the general way ----

local queued = call('ZMSCORE', K_QUEUE, unpack(buyers))
local offered -- times of the buyers' offers; read when the first buyer inside is met
local seq_before, size_before = ev.seq, ev.size

-- The decisions about the buyers. The index is that of the buyer's first occurrence in the call.
local first, states, places, since, fresh = {}, {}, {}, {}, {}
local left            -- capacity for direct admissions; computed when first needed
local new = 0         -- number of new places at the tail
local first_new       -- the lowest of these new places
local in_order = true -- the new places are the last ones of the queue, in the order of `fresh`
local joined, unparked = 0, 0
local claims = {}     -- buyers whose offers this call claims

-- Changes that were decided but not written yet: arguments of ZADD for the queue and for heartbeats; direct
-- admissions.
local moves, alive, direct_buyers, direct_places = {}, {}, {}, {}

local function flush()
    if #direct_buyers > 0 then
        admit('direct', direct_buyers, direct_places)
        direct_buyers, direct_places = {}, {}
    end
    if #moves > 0 then
        call('ZADD', K_QUEUE, unpack(moves))
        moves = {}
    end
    if #alive > 0 then
        call('ZADD', K_QUEUE_SEEN, unpack(alive))
        alive = {}
    end
end

-- Called before the one decision that writes at once, while others of the call are still open.
local allowed = false

local function before_write()
    if not allowed then
        must_may('XADD', K_LOG, 'SADD', K_ACTIVE, 'ZADD', K_QUEUE, 'ZREM', K_PARKED, 'SET', K_SEQ, 'HINCRBY',
            K_STATS, 'HSET', K_CONFIG, 'HGET', K_STATS, 'HMGET', K_FREE, 'ZSCORE', K_CONSUMED,
            'HDEL', K_KEPT, 'ZREMRANGEBYRANK', K_NETWORKS_TOP)
        allowed = true
    end
end

-- Called when all is decided. Heartbeats alone are one write; what most newcomers need is three.
local function before_flush()
    if allowed or (#moves == 0 and #direct_buyers == 0 and #claims == 0 and refusals == 0) then
        return
    end
    must_may('ZADD', K_QUEUE, 'SET', K_SEQ, 'HINCRBY', K_STATS)
    if ev.outflow > 0 then
        must_may('HSET', K_CONFIG)
    end
    if #direct_buyers > 0 or #claims > 0 then
        must_may('XADD', K_LOG, 'SADD', K_ACTIVE, 'HSET', K_CONFIG, 'ZREM', K_OFFERED, 'HDEL', K_KEPT)
    end
    if per_network > 0 then
        must_may('HSET', K_NETWORKS, 'ZREMRANGEBYRANK', K_NETWORKS_TOP)
    end
end

local function queue_up(i, place)
    states[i], places[i] = 'waiting', text(place)
    local at = #moves
    moves[at + 1], moves[at + 2] = places[i], buyers[i]
end

-- Buyer i gets this place. If they had a higher one, it is consumed under its own name, since consumed:{id} has one place
-- of each buyer. Otherwise its ticket would bring them back once they have left the lower one, and open a restore window, as
-- if Redis had lost data. Of a place from this call there is no ticket.
local function give_up(i, lower)
    if tonumber(places[i]) > lower and not fresh[i] then
        before_write()
        call('ZADD', K_CONSUMED, 'GT', places[i], 'x:' .. places[i])
    end
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

-- What was decided before is written first, so that the log has it in this order.
local function unpark(i, place)
    before_write()
    flush()
    record('returned', buyers[i], text(place), ev.inside, admitted())
    call('ZREM', K_PARKED, buyers[i])
    unparked = unparked + 1
end

-- Is the place of a proof not consumed? consumed: the highest that the buyer has consumed; own: the place that they have.
-- It is consumed under its own name if its buyer was erased (person.lua), or gave it up for a lower one.
local function still_counts(place, consumed, own)
    return place > consumed and (place == own or not call('ZSCORE', K_CONSUMED, 'x:' .. text(place)))
end

-- Decides what the proof of buyer b brings back, who has the place `own` (0: none). Returns four values: the lower of the
-- places of ticket and pass, or nil; the place of the pass, or nil; the time of admission that the pass names; whether
-- b has had a place in this epoch. Places that are consumed, or of another epoch, count as absent.
local function proven(b, proof, own)
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
    ticket = still_counts(ticket, consumed, own) and ticket or nil
    pass = still_counts(pass, consumed, own) and pass or nil
    local lowest = ticket or pass
    if ticket and pass then
        lowest = min(ticket, pass)
    end
    if pass then
        local used, since = kept_read(call('HGET', K_KEPT, b), text(pass))
        if used and num(at) <= since then
            pass = nil
        end
    end
    return lowest, pass, num(at), true
end

-- Admits the buyer again, as of the admission that the pass proves.
local function come_back_in(i, place, admitted_at)
    local b, was_waiting, was_parked = buyers[i], states[i] == 'waiting', parked[i]
    before_write()
    flush()
    give_up(i, place)
    places[i] = text(place)
    since[i] = min(admitted_at - ev.gap, ev.service)
    ev.seq = max(ev.seq, place)
    admit('restored', {b}, {places[i]}, {since[i]})
    if was_parked then
        call('ZREM', K_PARKED, b)
        unparked = unparked + 1
    end
    if was_waiting then
        call('ZREM', K_QUEUE, b)
        call('ZREM', K_QUEUE_SEEN, b)
        ev.size = ev.size - 1
        in_order, fresh[i] = false, nil
    end
    states[i] = 'active'
    left = nil
end

-- Counts a new place for the network. False: the network has had all of its places.
local function count_place(network)
    local n = number_of[network]
    if had[n] >= per_network then
        refused[n] = (refused[n] or 0) + 1
        refusals = refusals + 1
        return false
    end
    had[n], given[n] = had[n] + 1, given[n] + 1
    return true
end

-- Would a newcomer of this network be inside at once?
local function enters(network, counted)
    if ev.size > 0 then
        return false
    end
    left = left or capacity(true)
    local n = not counted and number_of[network]
    return left > 0 and not (n and had[n] >= per_network)
end

-- Gives the buyer a new place: inside (a direct admission), or at the tail of the queue.
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

-- Redis does not know this place, and it is not consumed: data was lost. Others may have got places since, so that seq
-- says nothing. Places from before the last restore window are in order: their buyers come late.
local function notice_loss(place)
    if ev.restoring or place <= num(call('HGET', K_CONFIG, 'restoredTo')) then
        return
    end
    before_write()
    flush()
    open_restore_window(place)
    left = nil
end

-- Lets a buyer in again whose pass counts. Returns whether they are inside; the place that their proof brings back, or
-- nil; whether they have had a place in this epoch.
local function by_proof(i, proof)
    if not proof or proof == '' then
        return false
    end
    local best, pass, admitted_at, counted = proven(buyers[i], proof, tonumber(places[i]))
    if best and states[i] == 'gone' then
        notice_loss(best)
    end
    if pass and (ev.consumed_loaded or not ev.restoring)
        and ev.inside + #direct_buyers < ev.threshold then
        come_back_in(i, pass, admitted_at)
        return true
    end
    return false, best, counted
end

-- Decides about a buyer who is not inside.
local function advance(i, mode, proof, network)
    local state = states[i]
    local inside, best, counted = by_proof(i, proof)
    if inside then
        return
    end
    if state == 'waiting' then
        if best and best < tonumber(places[i]) then
            give_up(i, best)
            wait_at(i, best)
        end
    elseif state == 'parked' or (state == 'unclaimed' and mode ~= RESUME
        and rests_until(buyers[i], places[i]) == 0) then
        local place = tonumber(places[i])
        place = best and min(best, place) or place
        give_up(i, place)
        unpark(i, place)
        wait_at(i, place)
    elseif state == 'unclaimed' then
        return
    elseif best then
        wait_at(i, best)
    elseif mode == JOIN or (mode == DIRECT and enters(network, counted)) then
        if network and not counted and not count_place(network) then
            states[i] = 'refused'
            return
        end
        newcomer(i)
        if ev.seq - ev.now_us <= AHEAD_US then -- the place is the first heartbeat
            return
        end
    end
    if states[i] == 'waiting' then
        local at = #alive
        alive[at + 1], alive[at + 2] = service, buyers[i]
    end
end

-- Decide, buyer by buyer.
if not closed and next(networks) then
    read_networks(queued)
end
local touched = {}
for i = 1, #buyers do
    local b = buyers[i]
    local me = first[b]
    if not me then
        me, first[b] = i, i
        if banned[i] then
            states[i], places[i] = 'banned', '0'
        elseif is_active[i] == 1 then
            offered = offered or call('ZMSCORE', K_OFFERED, unpack(buyers))
            states[i] = offered[i] and 'offered' or 'active'
            touched[#touched + 1] = service
            touched[#touched + 1] = b
        elseif queued[i] then
            states[i], places[i] = 'waiting', queued[i]
        elseif parked[i] then
            local place, needs_claim = parked_place(parked[i])
            states[i], places[i] = needs_claim and 'unclaimed' or 'parked', place
        else
            states[i], places[i] = 'gone', '0'
        end
    end
    local state = states[me]
    if state == 'banned' then
        states[me] = state -- nothing that they have, or prove, counts
    elseif state == 'offered' then
        if mode_of(i) ~= RESUME then
            claims[#claims + 1] = b
            states[me] = 'active'
        end
    elseif not closed and state ~= 'active' and state ~= 'direct' then
        advance(me, mode_of(i), proofs[i], networks[i])
    elseif ev.status == 'closed' and not ev.over and state ~= 'active' and state ~= 'direct' then
        by_proof(me, proofs[i])
    end
end

-- Write.
before_flush()
flush()
claim(claims)
if #touched > 0 then
    call('ZADD', K_ACTIVE_SEEN, 'XX', unpack(touched))
end
if ev.seq > seq_before then
    call('SET', K_SEQ, text(ev.seq))
end
if joined > 0 then
    call('HINCRBY', K_STATS, 'joined', joined)
end
if per_network > 0 then
    write_networks()
end
if unparked > 0 then
    call('HINCRBY', K_STATS, 'unparked', unparked)
end
-- Without one the first in line would wait for the tick, although there is capacity, or a token comes first.
if unparked > 0 and ev.inside < ev.threshold then
    hint()
elseif size_before == 0 and ev.outflow > 0 and new > 0 and ev.inside < ev.threshold then
    hint(true)
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
        since[me] = since[me] or call('ZSCORE', K_ACTIVE_SINCE, buyers[i])
        position, start = turn_times(buyers[i], since[me])
    elseif state == 'unclaimed' and not closed then
        position = rests_until(buyers[i], places[me])
    elseif state == 'offered' then
        places[me] = places[me] or call('ZSCORE', K_ACTIVE_PLACE, buyers[i]) or '0'
        start = num(offered[me]) + ev.gap
    end
    if closed and start == 0 and state ~= 'banned' then
        state = 'closed'
    end
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = state, places[me], position, start
    at = at + 4
end
return answer(words)
