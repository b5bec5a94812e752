-- SPDX-License-Identifier: MIT
--
-- sales: writes and reads the copies of an event's sales, from which a restored PostgreSQL gets back what it lacks.
--
-- KEYS  1  sales:{id}: HASH of reservation id → version, a blank, the sale as JSON
-- ARGV  1  put    then three per sale, at most 100: reservation id, version, the sale
--       1  list   2  cursor; 0: begin
-- REPLY put: how many were written. (No code and no numbers: this script does not read the event.)
--       list: the next cursor, 0: that was the end; then three per sale, as above. A sale may come twice
--
-- Invariant: an older version never replaces a newer one, whichever processor is late.
-- The copies of an event expire thirty days after the last of them was written.

local TTL_MS, PAGE = 30 * 24 * 3600 * 1000, 100
local key = KEYS[1]

if ARGV[1] == 'put' then
    must_may('HSET', key, 'HGET', key, 'PEXPIRE', key)
    local written = 0
    for i = 2, #ARGV, 3 do
        local stored = call('HGET', key, ARGV[i])
        if not stored or num(stored:match('^%d+')) < num(ARGV[i + 1]) then
            call('HSET', key, ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
            written = written + 1
        end
    end
    call('PEXPIRE', key, TTL_MS)
    return {written}
end

local page = call('HSCAN', key, ARGV[2], 'COUNT', PAGE)
local reply = {page[1]}
for i = 1, #page[2], 2 do
    local version, sale = page[2][i + 1]:match('^(%d+) (.*)$')
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = page[2][i], version, sale
end
return reply
