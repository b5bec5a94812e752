// SPDX-License-Identifier: MIT
//
// The command line: --help of every command, whatever the settings are; errors that name the option,
// what is allowed, and where the help is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runTiketi } from '../fixtures/index.mjs';

const COMMANDS = ['serve', 'probe', 'migrate', 'token', 'vapid-key', 'reference', 'routes', 'crowd', 'provider', 'simulate', 'ctl', 'proxy'];

test('every command explains itself, even with wrong settings', async () => {
  for (const command of COMMANDS) {
    for (const flag of ['--help', '-h']) {
      const { stdout, stderr } = await runTiketi([command, flag], { HTTP_PORT: 'wrong' });
      assert.match(stdout, new RegExp(`^Usage: tiketi ${command}\\b`));
      assert.equal(stderr, '');
    }
  }
  const { stdout } = await runTiketi(['serve', '--help']);
  assert.match(stdout, /--roles LIST/);
  assert.match(stdout, /QUEUE_THRESHOLD [^(]*\(default 1000\)\n/);
});

test('without a command it lists them', async () => {
  const lists = (text) => COMMANDS.forEach((command) => assert.match(text, new RegExp(`^  ${command} `, 'm')));
  lists((await runTiketi(['--help'])).stdout);
  lists((await runTiketi([], {}, { expect: 64 })).stderr);
  assert.match((await runTiketi(['server'], {}, { expect: 64 })).stderr, /'server' is not a command/);
});

test('a wrong option is named, with what is allowed and where the help is', async () => {
  const refuse = async (pattern, args) => {
    const { stderr } = await runTiketi(args, {}, { expect: 64 });
    assert.match(stderr, pattern);
    assert.match(stderr, new RegExp(`See \`tiketi ${args[0]} --help\``));
  };
  await refuse(/--roles must be a comma-separated list of api, gateway and processor/, ['serve', '--roles', 'api,admin']);
  await refuse(/unexpected argument 'api'/, ['serve', 'api']);
  await refuse(/--port is not an option/, ['serve', '--port', '1']);
  await refuse(/unexpected argument 'now'/, ['migrate', 'now']);
  await refuse(/unexpected argument 'all'/, ['routes', 'all']);
  await refuse(/--sub is required/, ['token']);
  await refuse(/--ttl must be an integer from 1 to 31622400, not '0'/, ['token', '--sub', 'a', '--ttl', '0']);
  await refuse(/--role must be admin, organizer, sre, viewer or door/, ['console-link', '--name', 'a', '--role', 'service']);
  await refuse(/--role one of admin, organizer, sre, viewer, service, door, buyer/, ['token', '--sub', 'a', '--role', 'king']);
  await refuse(/REFERENCE is required/, ['reference']);
  await refuse(/'1K0R' is not a reference such as/, ['reference', '1K0R']);
});

test('a wrong or missing setting is named', async () => {
  const refuse = async (pattern, args, env) => assert.match((await runTiketi(args, env, { expect: 78 })).stderr, pattern);
  await refuse(/^tiketi token: HTTP_PORT: must be an integer from 0 to 65535, not 'x'/, ['token', '--sub', 'a'], { HTTP_PORT: 'x' });
  await refuse(/^tiketi token: JWT_SECRETS: must be set/, ['token', '--sub', 'a'], { JWT_SECRETS: null });
  await refuse(/^tiketi migrate: DATABASE_URL: must be set/, ['migrate'], {});
  // Commands that need no settings are not stopped by wrong ones.
  for (const args of [['routes'], ['vapid-key'], ['reference', '1K0R-T4B4-J84'], ['simulate', '--help']]) await runTiketi(args, { HTTP_PORT: 'x', QUEUE_TRESHOLD: 1 });
});

test('a token and a reference are printed', async () => {
  const { stdout } = await runTiketi(['token', '--sub=a', '--role', 'sre', '--ttl', '60']);
  const claims = JSON.parse(Buffer.from(stdout.split('.')[1], 'base64url'));
  assert.deepEqual([claims.sub, claims.role, claims.exp - claims.iat], ['a', 'sre', 60]);
  assert.match((await runTiketi(['reference', '1K0R-T4B4-J84'])).stdout, /^\d+ 20\d\d-.*Z\n$/);
  const keys = await Promise.all([1, 2].map(async () => (await runTiketi(['vapid-key'])).stdout));
  assert.match(keys[0], /^[\w-]{43}\n$/);
  assert.notEqual(keys[0], keys[1]);
});
