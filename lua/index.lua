-- SPDX-License-Identifier: MIT
--
-- index: samples the queue and stores the rank index as index:{id}. With it every pod computes the
-- position of any place without asking Redis.
--
-- KEYS  as in shared.lua
-- ARGV  1  the whole value of lease:{id} that the caller holds
--       2  mean of the measured admission rate
--       3  its spread
--       4  number of ticks that it was measured over
-- REPLY OK and the numbers, then the text of the index
--       LEASE, NOCONFIG
--
-- The text has two lines of words, separated by single spaces. The words of the first line: format
-- (1), version, epoch, status, restoring (0|1), queue size, number inside, effective threshold, seq,
-- time (ms), seats left (-: seats do not limit admissions), admissions so far, mean, spread, ticks,
-- number of samples. The words of the second line are the samples, "rank,place"; both numbers are
-- differences to the sample before, the first sample's to 0,0. Ranks count from 0.
--
-- There is a sample for each of the first 1,000 ranks, then geometrically spaced ones, then one for
-- the last rank: 1,744 at most, however long the queue is. In a queue of up to a million buyers, two
-- neighbours are less than 1 % of their rank apart, so an interpolated position is wrong by less.
--
-- The script also keeps the counters of the last hour: when a minute begins, it writes them and the
-- numbers inside and waiting to field "m<minute>" of stats:{id}, and deletes fields older than an
-- hour. Field `minute` is the newest minute.

local EXACT, STEPS, TTL_MS = 1000, 744, 60000
local MINUTES = 60

if not read_event() then
    return {'NOCONFIG'}
end
if not holds_lease(ARGV[1]) then
    return {'LEASE'}
end
bring_up_to_date()

local samples, rank_before, place_before = {}, 0, 0

local function sample(rank, score)
    local place = tonumber(score)
    samples[#samples + 1] = format('%d,%d', rank - rank_before, place - place_before)
    rank_before, place_before = rank, place
end

local exact = min(ev.size, EXACT)
local head = exact > 0 and call('ZRANGE', K_QUEUE, 0, exact - 1, 'WITHSCORES') or {}
for i = 2, #head, 2 do
    sample(i / 2 - 1, head[i])
end
if exact < ev.size then
    local last, ratio, at = ev.size - 1, (ev.size / exact) ^ (1 / STEPS), exact
    repeat
        local rank = min(floor(at), last)
        sample(rank, call('ZRANGE', K_QUEUE, rank, rank, 'WITHSCORES')[2])
        at = max(at * ratio, rank + 1)
    until rank == last
end

local function note_minute()
    local minute, last = floor(ev.now / 60000), num(call('HGET', K_STATS, 'minute'))
    if minute <= last then
        return
    end
    local counts = call('HMGET', K_STATS, 'joined', 'admitted', 'left', 'withdrawn', 'idle',
        'timeout', 'completed', 'parked')
    for i = 1, 8 do -- the first minute ever counts all that came before it: it begins at 0
        counts[i] = last > 0 and counts[i] or '0'
    end
    counts[9], counts[10] = ev.inside, ev.size
    call('HSET', K_STATS, 'minute', minute, 'm' .. minute, table.concat(counts, ' '))
    for old = max(last - MINUTES, 0), min(last, minute - MINUTES - 1) do
        call('HDEL', K_STATS, 'm' .. old)
    end
end
note_minute()

local reply = numbers()
local seats = seats_left()
local blob = table.concat({'1', text(ev.version), text(ev.epoch), ev.status,
    ev.restoring and '1' or '0', text(ev.size), text(ev.inside), text(ev.threshold), text(ev.seq),
    text(ev.now), seats and text(seats) or '-', text(admitted()), ARGV[2], ARGV[3], ARGV[4],
    text(#samples)}, ' ') .. '\n' .. table.concat(samples, ' ') .. '\n'
call('SET', K_INDEX, blob, 'PX', TTL_MS)
reply[11] = blob
return reply
