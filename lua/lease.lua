-- SPDX-License-Identifier: MIT
--
-- lease: the processor's lease of one event.
--
-- KEYS  as in shared.lua
-- ARGV  1  take, renew or release
--       2  owner: random text of the calling process
--       3  the value held (renew, release); else ''
--       4  time to live, ms
-- REPLY OK, then: held (0|1), the value held (else ''), need_consumed (1: the event is restoring and
--       waits until the consumed places are loaded)
--
-- Works without a config: the holder writes it. A renewal keeps lastRunMs fresh (shared.lua).
--
-- Invariants: the value is "token:owner"; the fencing token rises with every new holder, never falls,
-- never expires. Only the caller with the whole value renews or releases. A holder that takes the
-- lease again (its reply was lost) renews it. Nobody holds it for longer than its time to live
-- without renewing: if the clock stepped back, the next attempt cuts the rest down to that.

local verb, owner, value, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local current = call('GET', K_LEASE)
local held = false

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
if held and open() then
    settle()
    need = ev.restore_until > 0 and not ev.consumed_loaded and 1 or 0
end
return {'OK', held and 1 or 0, held and current or '', need}
