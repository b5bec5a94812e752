-- SPDX-License-Identifier: MIT
--
-- feedback: the shop's health, and the limit that follows from it. The limit is worked out by the lease
-- holder (src/queue/feedback.c), and applied in shared.lua after base and surge.
--
-- KEYS  as in shared.lua
-- ARGV  1  report   2  p95Ms, ms             3  errors, of a million requests
--       1  read
--       1  write    2  the whole value of lease:{id} that the caller holds
--                   3  limit; 0: none        4  loweredMs   5  raisedMs   6  judgedMs
-- REPLY OK and the numbers, then: the last report: p95Ms, errors, at (ms of Redis' clock; 0: there was none);
--       limit, loweredMs, raisedMs, judgedMs; the threshold that base and surge give
--       NOCONFIG, LEASE
--
-- All of it is kept in config:{id}: health = "p95Ms errors at", feedback = the limit, feedbackAt =
-- "loweredMs raisedMs judgedMs". A report is kept for the lease holder, whoever that is; it changes nothing by itself.

local verb = ARGV[1]
if not read_event() then
    return {'NOCONFIG'}
end
if verb == 'write' and not holds_lease(ARGV[2]) then
    return {'LEASE'}
end
must_may('HSET', K_CONFIG)
if verb == 'report' then
    call('HSET', K_CONFIG, 'health', ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. text(ev.now))
elseif verb == 'write' then
    ev.feedback = num(ARGV[3])
    call('HSET', K_CONFIG, 'feedback', ARGV[3], 'feedbackAt', ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
end
bring_up_to_date()

local kept = call('HMGET', K_CONFIG, 'health', 'feedbackAt')
local p95, errors, at = (kept[1] or ''):match('^(%d+) (%d+) (%d+)$')
local lowered, raised, judged = (kept[2] or ''):match('^(%d+) (%d+) (%d+)$')
local reply = numbers()
reply[11], reply[12], reply[13] = num(p95), num(errors), num(at)
reply[14], reply[15], reply[16], reply[17] = ev.feedback, num(lowered), num(raised), num(judged)
reply[18] = ev.most
return reply
