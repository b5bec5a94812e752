// SPDX-License-Identifier: MIT
//
// Fills a queue of any length without requests: a script writes into Redis what `join` and a first heartbeat after it
// would have written.

const FILL = `
local from, count, start, seen = ARGV[1] + 0, ARGV[2] + 0, ARGV[3] + 0, ARGV[4]
for at = from, from + count - 1, 500 do
  local places, signs = {}, {}
  for i = at, math.min(at + 499, from + count - 1) do
    local buyer = string.format('g:f0000000%024x', i)
    local n = #places
    places[n + 1], places[n + 2] = string.format('%d', start + 5 * i), buyer
    signs[n + 1], signs[n + 2] = seen, buyer
  end
  redis.call('ZADD', KEYS[1], unpack(places))
  if seen ~= '' then redis.call('ZADD', KEYS[2], unpack(signs)) end
end
redis.call('SET', KEYS[3], string.format('%d', start + 5 * (from + count - 1)))
`;
const STEP = 50000;
export const EVERY_US = 5; // microseconds between two places

// The id of guest number i; their place is i × EVERY_US after that of number 0.
export const filler = (i, salt = 'f0000000') => `g:${salt}${i.toString(16).padStart(24, '0')}`;

// fill: replaces the queue of event `id` by `count` guests with places in the past and heartbeats of the
// present; heartbeats false: no one has sent one since they came. Returns the place of number 0.
export async function fill(client, id, count, { heartbeats = true } = {}) {
  const [queue, seen, seq] = ['queue', 'queue:seen', 'seq'].map((name) => `${name}:{${id}}`);
  const [s, us] = (await client.time()).map(Number);
  const start = s * 1e6 + us - EVERY_US * (count + 1);
  const gap = Number((await client.hget(`config:{${id}}`, 'gapMs')) ?? 0);
  await client.unlink(queue, seen);
  for (let from = 0; from < count; from += STEP) {
    await client.eval(FILL, 3, queue, seen, seq, from, Math.min(STEP, count - from), start, heartbeats ? s * 1000 - gap : '');
  }
  return start;
}

// Removes all waiting buyers; the event's log stays.
export const drain = (client, id) => client.unlink(`queue:{${id}}`, `queue:seen:{${id}}`);
