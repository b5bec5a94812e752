-- SPDX-License-Identifier: MIT
--
-- lease: the processor's lease of one event.
--
-- KEYS  as in shared.lua
-- ARGV  1  take, renew or release
--       2  owner: random text of the calling process
--       3  the value held (renew, release); else ''
--       4  time to live, ms
-- REPLY OK, but not the numbers; then held (0|1), the value held ('' if not held), need_consumed (1: the
--       event is restoring, and the consumed places have not been loaded yet), open (1: so it should be
--       ticked), when somebody ticked last (ms of Redis' clock; 0: never), intervalMs, number inside
--
-- Works while Redis has no settings of the event: it is the holder that configures it. Each renewal
-- keeps lastRunMs fresh (see shared.lua).
--
-- Invariants: the value is "token:owner". The fencing token rises with every new holder, never falls
-- and never expires. Only a caller that has the whole value renews or releases the lease. An owner that
-- takes a lease which it holds (the reply was lost) renews it. Without a renewal the lease ends after
-- its time to live, even if the clock stepped back: the next caller that tries to take it cuts the
-- remaining time to that.

local verb, owner, value, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = read_event()
local current = call('GET', K_LEASE)
local held = false
must_may('INCR', K_FENCE, 'SET', K_LEASE, 'PEXPIRE', K_LEASE, 'DEL', K_LEASE, 'HSET', K_CONFIG)

if verb == 'take' then
    if not current then
        current = text(call('INCR', K_FENCE)) .. ':' .. owner
        call('SET', K_LEASE, current, 'PX', ttl)
        held = true
    elseif current:match('^%d+:(.*)$') == owner then
        call('PEXPIRE', K_LEASE, ttl)
        held = true
    elseif call('PTTL', K_LEASE) > num(ttl) then
        call('PEXPIRE', K_LEASE, ttl)
    end
elseif current and current == value then
    if verb == 'renew' then
        call('PEXPIRE', K_LEASE, ttl)
        held = true
    else
        call('DEL', K_LEASE)
    end
end

local need = 0
if held and known then
    bring_up_to_date()
    need = ev.restore_until > 0 and not ev.consumed_loaded and 1 or 0
end
local open = known and ev.status == 'open'
local ticks = open and call('HMGET', K_CONFIG, 'tickedAt', 'intervalMs') or {}
return {'OK', held and 1 or 0, held and current or '', need, open and 1 or 0, num(ticks[1]), num(ticks[2]), known and ev.inside or 0}
