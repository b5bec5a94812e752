-- SPDX-License-Identifier: MIT
--
-- pay: a payment begins or ends. While one is pending, its deadline takes the place of the idle and
-- session limits: the buyer is at the payment provider, and sends no heartbeats from there.
--
-- KEYS  as in shared.lua
-- ARGV  1  buyer id
--       2  deadline of the payment, ms of Redis' clock; 0: no payment is pending any more
--       3  1: the buyer claims; 0: this is the provider's report
-- REPLY OK and the numbers, then one text with four words:
--               state: active, gone (not inside by a claimed turn), closed (the turns of a closed event are over)
--               place; 0: none
--               deadline of the pending payment, ms; 0: none
--               when the session began, ms; 0: gone
--       NOCONFIG
--
-- The session's clock goes on meanwhile: when the payment is over, or its deadline has passed (promote), both
-- limits apply again, and the buyer counts as seen now. A payment that begins when the session is over gets no
-- time inside: else a buyer could begin one after the other and keep the slot for ever. Seats and order do not
-- depend on that: PostgreSQL holds them.
-- Repeating a call changes nothing.

if not read_event() then
    return {'NOCONFIG'}
end
must_may('XADD', K_LOG, 'ZADD', K_PAYING, 'ZREM', K_PAYING, 'HINCRBY', K_STATS, 'HGET', K_STATS, 'HMGET', K_KEPT,
    'HSET', K_KEPT, 'HDEL', K_KEPT)
bring_up_to_date()

if ev.over then
    return answer({'closed', 0, 0, 0})
end
local b, deadline = ARGV[1], num(ARGV[2])
local place = call('ZSCORE', K_ACTIVE_PLACE, b)
local offered = place and call('ZSCORE', K_OFFERED, b)
if not place or (offered and ARGV[3] ~= '1') then
    return answer({'gone', 0, 0, 0})
end
if offered then
    claim({b})
end
local since = num(call('ZSCORE', K_ACTIVE_SINCE, b))
local session_ms = num(call('HGET', K_CONFIG, 'sessionLimitMs'))
local over = session_ms > 0 and math.abs(since) + session_ms <= ev.service
if deadline > ev.now and not over then
    since = -math.abs(since)
    call('ZADD', K_PAYING, text(deadline), b)
    call('ZADD', K_ACTIVE_SINCE, text(since), b)
    call('ZREM', K_ACTIVE_SEEN, b)
elseif deadline <= ev.now and since < 0 then
    since = -since
    call('ZADD', K_ACTIVE_SEEN, text(ev.service), b)
    call('ZADD', K_ACTIVE_SINCE, text(since), b)
    call('ZREM', K_PAYING, b)
end
local ends, start = turn_times(b, since)
return answer({'active', place, ends, start})
