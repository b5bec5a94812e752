-- SPDX-License-Identifier: MIT
--
-- networks: which networks have had the most new places in this epoch.
--
-- KEYS  as in shared.lua
-- ARGV  none
-- REPLY OK and the numbers, then three items per network, at most ten networks, the busiest first:
--               the network
--               new places that it has had (join.lua counts them)
--               how many were refused to it
--       NOCONFIG
--
-- A network is listed when it has had 20 places, all that placesPerNetwork allows, or a refusal.

if not read_event() then
    return {'NOCONFIG'}
end
bring_up_to_date()

local reply = numbers()
for _, network in ipairs(call('ZREVRANGE', K_NETWORKS_TOP, 0, -1)) do
    local counts = call('HMGET', K_NETWORKS, network, '!' .. network)
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = network, num(counts[1]), num(counts[2])
end
return reply
