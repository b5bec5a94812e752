// SPDX-License-Identifier: MIT
//
// What a request pays for the seal of the guest's cookie, beside a bare MAC of OpenSSL (cookie.c).

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { calmRounds, compared, quick } from './measure.mjs';

const run = promisify(execFile);

export async function cookie() {
  const rounds = await calmRounds(quick ? 4 : 12, async () => JSON.parse((await run(process.env.BENCH_COOKIE)).stdout));
  const row = (name) => ({ unit: 'µs', beside: 'bare HMAC-SHA-256 of OpenSSL', ...compared(rounds, (round) => round[name] / 1000, (round) => round.bare / 1000) });
  return [
    { id: 'cookie', what: 'CPU per verified guest cookie', means: 'found in a header of usual length, parsed and verified; each request of a guest pays it', ...row('verify'), bar: 2 },
    { id: 'cookie-made', what: 'CPU per guest cookie that is made', means: 'once a day and guest', ...row('make') },
  ];
}
