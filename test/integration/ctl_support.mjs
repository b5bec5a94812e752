// SPDX-License-Identifier: MIT
//
// tiketi ctl, run by the tests of its commands.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { BIN, environment, inspect, jwt } from '../fixtures/index.mjs';

export const token = (claims = {}) => jwt({ sub: 'organizer', role: 'admin', ...claims });

// A function that runs `tiketi ctl …` with `home` as its folder, unless another one is named.
export const ctlIn = (home) => (args, { input = '', env = {}, folder = home, expect = 0, until } = {}) => new Promise((accept, reject) => {
  const child = spawn(BIN, ['ctl', ...args], { env: environment({ JWT_SECRETS: null, TICKET_KEYS: null, XDG_CONFIG_HOME: folder, ...env }) });
  const result = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    result.stdout += data;
    if (until?.(result.stdout)) child.kill('SIGINT');
  });
  child.stderr.on('data', (data) => { result.stderr += data; });
  child.on('error', reject);
  child.on('close', (code) => {
    inspect(result.stderr);
    try {
      assert.equal(code, expect, `tiketi ctl ${args.join(' ')}: exit ${code}\n${result.stdout}${result.stderr}`);
      accept(result);
    } catch (error) {
      reject(error);
    }
  });
  child.stdin.on('error', () => {}); // it may have ended without reading
  child.stdin.end(input);
});
