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
-- REPLY OK and the numbers, then the text of the index; why no more buyers enter (limit_text in shared.lua); counts
--       for the metrics, as words: those of TOLD, buyers who are parked now, and the age in ms of the oldest entry
--       of the log that the ledger has not consumed (0: it has consumed all)
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
-- The script also keeps the counters of the last hour: when a minute begins, it writes field "m<minute>" of
-- stats:{id}, and deletes fields older than an hour: the counters of COUNTED, in this order, then the number
-- inside, the queue size, the effective threshold, and the longest queue of the minute before.
-- src/queue/minutes.c reads them. Field `minute` is the newest minute, `queuePeak` the longest queue since it
-- began. Field `limit` says why no more buyers enter (limit_text in shared.lua).

local EXACT, STEPS, TTL_MS = 1000, 744, 60000
local MINUTES = 60

if not read_event() then
    return {'NOCONFIG'}
end
if not holds_lease(ARGV[1]) then
    return {'LEASE'}
end
must_may('HSET', K_STATS, 'HDEL', K_STATS, 'HGET', K_STATS, 'HMGET', K_STATS, 'HMGET', K_FREE, 'HGET', K_FREE, 'XRANGE', K_LOG, 'ZCARD', K_PARKED, 'SET', K_INDEX)
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

local COUNTED = {'joined', 'admitted', 'left', 'withdrawn', 'idle', 'timeout', 'completed', 'parked', 'direct',
    'claimed', 'unclaimed', 'idle_kept'}

local function note_minute()
    local noted = call('HMGET', K_STATS, 'minute', 'queuePeak')
    local minute, last, peak = floor(ev.now / 60000), num(noted[1]), num(noted[2])
    if ev.size > peak then
        peak = ev.size
        call('HSET', K_STATS, 'queuePeak', text(peak))
    end
    if minute <= last then
        return
    end
    local counts = call('HMGET', K_STATS, unpack(COUNTED))
    if last == 0 then -- the first minute ever counts all that came before it: it begins at 0
        local begun = call('HMGET', K_STATS, 'direct', 'offered', 'restored')
        for i = 1, #COUNTED do
            counts[i] = '0'
        end
        -- After a loss of data `admitted` goes on where it was, and those admissions were not in this minute.
        counts[2] = text(max(0, admitted() - num(begun[1]) - num(begun[2]) - num(begun[3])))
    end
    for i = 1, #COUNTED do
        counts[i] = counts[i] or '0'
    end
    counts[#counts + 1], counts[#counts + 2] = ev.inside, ev.size
    counts[#counts + 1], counts[#counts + 2] = text(ev.threshold), text(peak)
    call('HSET', K_STATS, 'minute', minute, 'queuePeak', ev.size, 'm' .. minute, table.concat(counts, ' '))
    for old = max(last - MINUTES, 0), min(last, minute - MINUTES - 1) do
        call('HDEL', K_STATS, 'm' .. old)
    end
end
note_minute()

local TOLD = {'joined', 'direct', 'offered', 'restored', 'left', 'idle', 'timeout', 'completed', 'withdrawn',
    'unclaimed', 'idle_kept'}

local function counts_text()
    local counts = call('HMGET', K_STATS, unpack(TOLD))
    for i = 1, #TOLD do
        counts[i] = counts[i] or '0'
    end
    counts[#counts + 1] = call('ZCARD', K_PARKED)
    local oldest = call('XRANGE', K_LOG, '(' .. (call('HGET', K_FREE, 'id') or '0-0'), '+', 'COUNT', 1)[1]
    counts[#counts + 1] = text(oldest and max(0, ev.now - num(oldest[1]:match('^%d+'))) or 0)
    return table.concat(counts, ' ')
end

local limit = limit_text(true)
call('HSET', K_STATS, 'limit', limit)

local reply = numbers()
local seats = seats_left()
local blob = table.concat({'1', text(ev.version), text(ev.epoch), ev.status,
    ev.restoring and '1' or '0', text(ev.size), text(ev.inside), text(ev.threshold), text(ev.seq),
    text(ev.now), seats and text(seats) or '-', text(admitted()), ARGV[2], ARGV[3], ARGV[4],
    text(#samples)}, ' ') .. '\n' .. table.concat(samples, ' ') .. '\n'
call('SET', K_INDEX, blob, 'PX', TTL_MS)
reply[11], reply[12], reply[13] = blob, limit, counts_text()
return reply
