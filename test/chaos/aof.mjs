// SPDX-License-Identifier: MIT
//
// Reads Redis' append-only files (with aof-use-rdb-preamble no): every write that Redis has made, in order, with those of
// a script together. It is the one record that survives a FLUSHALL, and it shares nothing with the service.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// The commands of one file, each a list of texts. A command that was cut off by a crash ends it.
export function* commandsOf(bytes) {
  let at = 0;
  const line = () => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const text = bytes.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  while (at < bytes.length) {
    const head = line();
    if (head === undefined) return;
    if (head.startsWith('#')) continue; // a time
    if (!head.startsWith('*')) throw new Error(`an append-only file has ${JSON.stringify(head.slice(0, 40))} where a command should begin`);
    const command = [];
    for (let left = Number(head.slice(1)); left > 0; left--) {
      const size = line();
      if (size === undefined) return;
      const length = Number(size.slice(1));
      if (at + length + 2 > bytes.length) return;
      command.push(bytes.toString('utf8', at, at + length));
      at += length + 2;
    }
    yield command;
  }
}

// Transactions: lists of commands that took effect together. One that is not complete has had none.
export function* transactionsOf(bytes) {
  let open;
  for (const command of commandsOf(bytes)) {
    const name = command[0].toUpperCase();
    if (name === 'MULTI') open = [];
    else if (name === 'EXEC') {
      yield open;
      open = undefined;
    } else if (open) open.push(command);
    else yield [command];
  }
}

// The files of a folder in their order: { base, bytes }. What is in a base is a state, not a history.
export function filesOf(folder) {
  const manifest = readFileSync(join(folder, 'appendonly.aof.manifest'), 'utf8');
  return manifest.trim().split('\n').map((text) => /^file (\S+) seq \d+ type (\w)/.exec(text))
    .filter(([, , type]) => type !== 'h')
    .map(([, file, type]) => ({ base: type === 'b', bytes: readFileSync(join(folder, file)) }));
}
