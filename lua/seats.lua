-- SPDX-License-Identifier: MIT
--
-- seats: reads and writes the cached seat map of an event, and chooses the caller that renews it.
--
-- KEYS  1  seats:{id}: HASH of version, at (ms, when it was last known to be current) and map
-- ARGV  1  get      2  version that the caller has; -1: none
--       1  put      2  version                3  the map
--       1  confirm  2  version, which PostgreSQL has at present
-- REPLY the cached version; -1: nothing is cached. (No code and no numbers: this script does not read
--       the event.)
--       age: ms since the cached map was last known to be current
--       the map, if it is newer than the caller's; otherwise ''
--
-- A caller that is told an age of a second or more asks PostgreSQL; `at` is set to now, so that other
-- callers use the cached map for another second. So PostgreSQL is asked once a second, however many
-- pods and buyers there are.
--
-- Invariant: an older version never replaces a newer one, even if it comes from a replica that lags or
-- from a pod that was suspended. A map that nobody confirms for a minute is deleted.

local FRESH_MS, TTL_MS = 1000, 60000
local key, verb, given = KEYS[1], ARGV[1], num(ARGV[2])
local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local kept = call('HMGET', key, 'version', 'at')
local version = tonumber(kept[1]) or -1

must_may('HSET', key, 'PEXPIRE', key, 'HGET', key)
if verb == 'put' and given >= version then
    call('HSET', key, 'version', ARGV[2], 'at', text(now), 'map', ARGV[3])
    call('PEXPIRE', key, TTL_MS)
    return {given, 0, ''}
end
if version < 0 then
    return {-1, 0, ''}
end
local age = now - num(kept[2])
if age < 0 then
    age = FRESH_MS -- the clock stepped back, so the age is unknown
end
if verb == 'confirm' and given == version then
    call('HSET', key, 'at', text(now))
    call('PEXPIRE', key, TTL_MS)
    age = 0
elseif verb == 'get' and age >= FRESH_MS then
    call('HSET', key, 'at', text(now))
end
return {version, age, version > given and call('HGET', key, 'map') or ''}
