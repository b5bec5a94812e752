-- SPDX-License-Identifier: MIT
--
-- probe: may the user of this connection run every command that the scripts and the service use? Does
-- Redis accept writes? What time is it? Sent at each connect and once a second.
--
-- KEYS  none: EVALSHA with a key that the user may not touch is refused as a whole, and the answer
--       would name no key
-- ARGV  1  REDIS_PREFIX
--       2  the channel
--       3  the hash tag of the keys that are tried; in a cluster one whose slot this node serves
-- REPLY OK, but not the numbers; then
--       what the user may not run: "COMMAND key, COMMAND key"; '': nothing. Before Redis 7 nobody can
--       ask, and it is always ''
--       TIME, microseconds, as text
--       the error with which Redis refuses writes now (OOM, MISCONF, NOREPLICAS, READONLY); '': none
--       what the user may not run on the channel; '': nothing. The service runs without the channel
--       1: in a cluster, events can have channels of their shard (Redis 7, and the user may use them); 0
--
-- This is the list of what tiketi runs: test/lua/keys.test.mjs compares it with lua/ and src/, and with
-- the ACL in docs/operations.md. The keys are those of no event; nothing is written to
-- them. The write at the end changes nothing (XX: no new member), so it is not sent to replicas
-- either; but Redis refuses it whenever it refuses writes that need memory.

local uses = {
    ['config:{probe}'] = 'TYPE HGET HMGET HSET HGETALL UNLINK',
    ['queue:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE ZCARD ZRANGE ZRANGEBYSCORE ZRANK UNLINK',
    ['queue:seen:{probe}'] = 'ZADD ZREM ZMSCORE UNLINK',
    ['parked:{probe}'] = 'EXISTS ZADD ZREM ZSCORE ZMSCORE ZCARD ZRANGEBYSCORE UNLINK',
    ['active:{probe}'] = 'SADD SREM SCARD SMISMEMBER UNLINK',
    ['active:seen:{probe}'] = 'ZADD ZREM ZRANGEBYSCORE UNLINK',
    ['active:since:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE ZRANGEBYSCORE UNLINK',
    ['active:place:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE ZRANGE ZRANGEBYSCORE UNLINK',
    ['active:n:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE UNLINK',
    ['active:offered:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE ZRANGEBYSCORE UNLINK',
    ['kept:{probe}'] = 'HGET HMGET HSET HDEL UNLINK',
    ['active:paying:{probe}'] = 'ZADD ZREM ZSCORE ZRANGEBYSCORE UNLINK',
    ['consumed:{probe}'] = 'ZADD ZREM ZSCORE ZMSCORE ZRANGEBYSCORE UNLINK',
    ['seq:{probe}'] = 'GET SET UNLINK',
    ['free:{probe}'] = 'EXISTS HGET HMGET HSET UNLINK',
    ['stats:{probe}'] = 'HGET HMGET HSET HDEL HINCRBY HGETALL UNLINK',
    ['log:{probe}'] = 'EXISTS XADD XDEL XRANGE XLEN XTRIM XSETID XINFO UNLINK',
    ['lease:{probe}'] = 'EXISTS GET SET PEXPIRE PTTL DEL UNLINK',
    ['fence:{probe}'] = 'INCR UNLINK',
    ['index:{probe}'] = 'GET SET UNLINK',
    ['networks:{probe}'] = 'HMGET HSET HINCRBY UNLINK',
    ['banned:{probe}'] = 'HGET HMGET HSET HDEL HGETALL UNLINK',
    ['networks:top:{probe}'] = 'ZADD ZREMRANGEBYRANK ZREVRANGE UNLINK',
    ['seats:{probe}'] = 'HGET HMGET HSET PEXPIRE',
    ['sales:{probe}'] = 'HGET HSET HSCAN PEXPIRE UNLINK',
    ['active:handed:{probe}'] = 'ZADD ZREM ZSCORE ZRANGEBYSCORE PEXPIRE PTTL',
    ['events'] = 'SADD SREM SMEMBERS',
    ['the channel'] = 'PUBLISH SUBSCRIBE',
    ['no key'] = 'TIME PING EVALSHA EVAL',
}

local function may_run(command, key)
    if command == 'XINFO' then
        return may(command, 'STREAM', key)
    elseif command == 'EVAL' or command == 'EVALSHA' then
        return may(command, 'return 1', 0)
    end
    return may_on(command, key)
end

local missing, no_channel = {}, {}
for name, commands in pairs(may and uses or {}) do
    local key = ARGV[1] .. name:gsub('{probe}', '{' .. ARGV[3] .. '}')
    if name == 'the channel' then
        key = ARGV[2]
    elseif name == 'no key' then
        key = nil
    end
    for command in commands:gmatch('%a+') do
        if not may_run(command, key) then
            local list = name == 'the channel' and no_channel or missing
            list[#list + 1] = key and command .. ' ' .. key or command
        end
    end
end
table.sort(missing)

-- In a cluster the channel of an event is that of its shard. acl_check_cmd raises an error for a command that this
-- release does not have.
local function has_shard_channels()
    for _, channel in ipairs({ARGV[2], ARGV[2] .. ':{' .. ARGV[3] .. '}'}) do
        for _, command in ipairs({'SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE'}) do
            local known, allowed = pcall(may_on, command, channel)
            if not known or not allowed then
                return false
            end
        end
    end
    return true
end

local sharded = may and has_shard_channels()
local time = redis.pcall('TIME')
local write = redis.pcall('ZADD', ARGV[1] .. 'queue:{' .. ARGV[3] .. '}', 'XX', 0, 'x')
local refused = type(write) == 'table' and write.err or ''
if refused:find('non local key', 1, true) then
    refused = '' -- the slot has just moved to another node
end
return {'OK', table.concat(missing, ', '), text(time.err and 0 or time[1] * 1000000 + time[2]),
    refused, table.concat(no_channel, ', '), sharded and 1 or 0}
