// SPDX-License-Identifier: MIT
//
// docs/runbook.md: its commands run as they stand there, those of Kubernetes name what k8s/base has, and the table at its end
// names tests that are there.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ROOT, Shell, many, stage, waitUntil } from '../fixtures/index.mjs';
import { code, text } from './runbook_support.mjs';

const { redis, database, server, organizer } = await stage();
const event = await organizer.sale({ threshold: 50, grid: { rows: 1, seatsPerRow: 4 } });
const shell = new Shell({ redis, database, server, places: { EVENT: event.id } });
after(() => shell.stop());
await waitUntil(() => redis.cli('EXISTS', `lease:{${event.id}}`), 10000, 'a processor');

test('every command is run as it stands there, but for those of which this test says why not', async () => {
  const NOT_HERE = [
    [/^(?:gdb|perf)\b/, 'a debugger, a profiler: they need the rights of the machine'],
    [/^kubectl (?:delete|describe|exec)\b|^kubectl logs POD/, 'a pod of a cluster'],
    [/^(?:chronyc|timedatectl)\b/, "the machine's clock"],
    [/^redis-cli --latency$/, 'runs until it is stopped'],
    [/^(?:GET|POST) \//, 'routes: test/integration/contract.test.mjs'],
    [/^make /, 'takes minutes'],
    [/^(?:tiketi|tiketi ctl|tiketi ctl (?:top|message)|kubectl|journalctl|systemctl)$/, 'only a name'],
  ];
  const known = /^(?:tiketi|redis-cli|psql|curl|kubectl|perf|gdb|chronyc|timedatectl|systemctl|journalctl|date|ulimit|make|SELECT|CONFIG|INFO|GET|POST)(?: |$)/;
  const commands = [...new Set(code.filter((one) => known.test(one)))];
  const unused = new Set(NOT_HERE);
  const failed = [];
  const told = [];
  const run = async (one) => {
    const line = one.replace('(PID)', '(0)').replace(' > log.txt', '').replace(/^tiketi ctl top EVENT$/, '$& --once')
      .replace(/^(?:CONFIG|INFO) /, 'redis-cli $&').replace(/^(SELECT .*)$/, 'psql "$$DATABASE_URL" -c "$1"')
      .replace(/^(kubectl .*?) \|.*$/, '$1'); // there are no lines to look at
    const { code: exit, output } = await shell.run(line);
    if (exit !== 0 || /^(?:ERR|ERROR)/m.test(output)) failed.push(`${line}: exit ${exit}\n${output}`);
  };
  for (const one of commands) {
    const reason = NOT_HERE.find(([pattern]) => pattern.test(one));
    unused.delete(reason);
    if (!reason) told.push(one);
  }
  // Those of ctl change one event, so they wait for each other.
  const ctl = (one) => one.startsWith('tiketi ctl');
  await Promise.all([many(told.filter(ctl), 1, run), many(told.filter((one) => !ctl(one)), 3, run)]);
  assert.deepEqual(failed, [], failed.join('\n'));
  assert.equal(unused.size, 0, [...unused].join('\n'));
  assert.ok(told.length >= 35, `${told.length} commands`);
});

test('each command of Kubernetes names what k8s/base has', async () => {
  const commands = [...new Set(code.filter((one) => /^kubectl (?:get|logs|scale|rollout) /.test(one) && !/ POD\b/.test(one)))];
  assert.ok(commands.length >= 5, commands.join('\n'));
  for (const command of commands) assert.equal((await shell.run(command.replace(/ \|.*$/, ''))).code, 0, command);
  assert.notEqual((await shell.run('kubectl scale deployment tiketi-nothing --replicas=2')).code, 0);
});

test('the table at its end names each part, and tests that are there', () => {
  const parts = text.split(/^## /m).slice(1).map((part) => [part.split('\n')[0], part]);
  const [, table] = parts.find(([title]) => title === 'What shows each part');
  const anchor = (title) => title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-');
  for (const [title, part] of parts) if (part.includes('**Do.**')) assert.ok(table.includes(`](#${anchor(title)})`), `"${title}" is not in the table`);
  let named = 0;
  for (const [, file, name] of table.matchAll(/`(test\/[\w./]+\.mjs)`: ([^;|`]+)/g)) {
    named++;
    assert.ok(existsSync(join(ROOT, file)), file);
    const words = name.trim();
    assert.ok(readFileSync(join(ROOT, file), 'utf8').includes(words), `${file} has no test "${words}"`);
  }
  assert.ok(named >= 25, `${named} tests`);
});
