-- SPDX-License-Identifier: MIT
--
-- handoff: a hand-over token is redeemed: once, and only while the admission lasts that it was made for.
--
-- KEYS  as in shared.lua, then active:handed:{id}
-- ARGV  1  buyer id
--       2  place of the admission
--       3  its epoch
--       4  the token's jti
--       5  when the token ends, ms since 1970
-- REPLY OK and the numbers, then one text with four words, as pay.lua has: state (active, gone), place, deadline of a
--               pending payment, when the session began
--               then 1: the token was redeemed before; 0
--       NOCONFIG
--
-- An offer that nobody has claimed is `gone` here: a token is made at a claim. So is everybody once the turns of a closed event
-- are over, whether or not promote has run since. `gone` uses no token up.
-- Of a token that was redeemed its jti is kept until it ends, and a minute longer, since the pods' clocks may differ from
-- Redis'. A Redis that has lost its data may take one again until then: by whoever has the URL of seconds ago.
-- It is neither a heartbeat nor a claim.

local KEPT_MS, AT_ONCE = 60000, 100
if not read_event() then
    return {'NOCONFIG'}
end
local handed, b, place, jti = KEYS[#KEYS], ARGV[1], ARGV[2], ARGV[4]
must_may('ZADD', handed, 'ZREM', handed, 'PEXPIRE', handed, 'PTTL', handed)
bring_up_to_date()

local score = call('ZSCORE', K_ACTIVE_PLACE, b)
if ev.over or ev.epoch ~= num(ARGV[3]) or not score or num(score) ~= num(place) or call('ZSCORE', K_OFFERED, b) then
    local reply = answer({'gone', 0, 0, 0})
    reply[#reply + 1] = 0
    return reply
end

local used = call('ZSCORE', handed, jti)
if not used then
    local over = call('ZRANGEBYSCORE', handed, '-inf', text(ev.now - KEPT_MS), 'LIMIT', 0, AT_ONCE)
    if #over > 0 then
        call('ZREM', handed, unpack(over))
    end
    call('ZADD', handed, ARGV[5], jti)
    -- Never shorter than what an earlier token needs.
    local kept = max(call('PTTL', handed), max(0, num(ARGV[5]) - ev.now) + KEPT_MS)
    call('PEXPIRE', handed, text(kept))
end
local ends, since = turn_times(b, call('ZSCORE', K_ACTIVE_SINCE, b))
local reply = answer({'active', place, text(ends), text(since)})
reply[#reply + 1] = used and 1 or 0
return reply
