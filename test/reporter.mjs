// SPDX-License-Identifier: MIT
//
// The reporter of the node suites, behind test/run.sh: prints each failed test once, in full, and
// nothing for a test that passed. The TAP of all tests goes to the log beside it.
//
//   FAILED test/lua/model.test.mjs: a random history > seed 3
//       the error, its stack and its causes; the diagnostics of the test, such as its seed
//
// What the test file printed by itself follows its first failure, cut to the last lines. TIKETI_TIMES
// names a file that receives the seconds each test file took, the slowest first (Node.js 20 and later); TIKETI_FAILED one
// that receives the names of the files in which a test failed.

import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { inspect } from 'node:util';

const LAST_LINES = 40;
const TOTALS = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;
// These frames say nothing about the test.
const FOREIGN = /^\s+at .*(?:\(|\s)node:/;

const indent = (text) => text.replace(/^(?=.)/gm, '    ');
const short = (path) => relative('', path);

function explain(error) {
  if (typeof error === 'string') return error;
  if (!error?.stack) return inspect(error, { depth: 5 });
  const stack = error.stack.split('\n').filter((line) => !FOREIGN.test(line)).join('\n');
  return error.cause === undefined ? stack : `${stack}\ncause: ${explain(error.cause)}`;
}

export default async function* report(source) {
  const output = new Map(); // by file: what it printed and nobody has been shown
  const failures = new Set(); // files
  const seconds = []; // of each file: [seconds, file]
  const running = new Map(); // by file: the test that was begun last
  let around = []; // the names of the tests that the next one is part of
  let failed = false; // the last test did: the diagnostics that come now are its own
  let last = ''; // the last explanation: a hook that failed fails every test of its file

  for await (const { type, data } of source) {
    const { file, name, nesting, message, details } = data ?? {};
    if (type === 'test:stdout' || type === 'test:stderr') {
      output.set(file, (output.get(file) ?? '') + message);
    } else if (type === 'test:dequeue') {
      if (name !== file) running.set(file, name);
    } else if (type === 'test:start') {
      around = [...around.slice(0, nesting), name];
    } else if (type === 'test:complete' && name === file) {
      seconds.push([details.duration_ms / 1000, short(file)]);
    } else if (type === 'test:pass') {
      failed = false;
    } else if (type === 'test:diagnostic') {
      // Without a file: an error outside every test, or the totals, which are not told here.
      if (file ? failed : !TOTALS.test(message)) yield `    # ${message}\n`;
    } else if (type === 'test:fail' && details.error.failureType !== 'subtestsFailed') {
      failed = true;
      failures.add(short(file ?? name));
      const where = [...around.slice(0, nesting), name].map((one) => (one === file ? 'the file as a whole' : one)).join(' > ');
      const why = explain(details.error.cause ?? details.error);
      yield `FAILED ${short(file ?? name)}: ${where}\n    ${why === last ? '(as the test before)' : indent(why).trimStart()}\n`;
      last = why;
      if (details.error.failureType === 'testTimeoutFailure' && name === file) yield `    the test that was begun last: ${running.get(file) ?? 'none'}\n`;
      const printed = output.get(file)?.trimEnd();
      if (printed) yield `    it printed:\n${indent(indent(printed.split('\n').slice(-LAST_LINES).join('\n')))}\n`;
      output.delete(file);
    }
  }
  if (process.env.TIKETI_FAILED && failures.size > 0) writeFileSync(process.env.TIKETI_FAILED, `${[...failures].join('\n')}\n`);
  if (process.env.TIKETI_TIMES) {
    const lines = seconds.sort(([a], [b]) => b - a).map(([time, file]) => `${time.toFixed(1).padStart(7)} s  ${file}\n`);
    writeFileSync(process.env.TIKETI_TIMES, lines.join(''));
  }
}
