// SPDX-License-Identifier: MIT
//
// What was recorded of a sale (run.mjs), to be changed as if something else had happened.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const POLLS = 'crowd-polls.ndjson';

export class Record {
  constructor(folder) {
    this.folder = folder;
    const { eventId, ports } = JSON.parse(readFileSync(join(folder, 'world.json'), 'utf8'));
    Object.assign(this, { eventId, ports });
    writeFileSync(join(folder, 'machine.ndjson'), ''); // whatever the machine was like
    this.threshold = JSON.parse(readFileSync(join(folder, 'schedule.json'), 'utf8')).event.threshold;
  }

  json(name, change) {
    const path = join(this.folder, name);
    const value = JSON.parse(readFileSync(path, 'utf8'));
    change(value);
    writeFileSync(path, JSON.stringify(value));
  }

  // change(lines) of a history; it is true that something was changed.
  history(name, change) {
    const path = join(this.folder, name);
    const lines = readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    change(lines);
    writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }

  append(...commands) {
    const text = commands.length > 1 ? [['MULTI'], ...commands, ['EXEC']] : commands;
    const { files } = { files: readFileSync(join(this.folder, 'aof', '0', 'appendonly.aof.manifest'), 'utf8') };
    appendFileSync(join(this.folder, 'aof', '0', /file (\S+) seq \d+ type i/.exec(files)[1]), text.map(resp).join(''));
  }

  key(name) {
    return `${name}:{${this.eventId}}`;
  }

  entry(kind, buyer, place, inside) {
    return ['XADD', this.key('log'), '9999999999999-1', 'kind', kind, 'buyer', buyer, 'place', place, 'epoch', 1, 'at', Date.now(), 'inside', inside, 'threshold', this.threshold, 'n', 1];
  }

  // A fault was on between these times, µs.
  hurt(given, begin, end) {
    let index;
    this.json('schedule.json', (schedule) => (index = schedule.faults.push(given) - 1));
    const lines = [[begin, 'begin'], [begin, 'begun'], [end, 'ending'], [end, 'end']];
    appendFileSync(join(this.folder, 'faults.ndjson'), lines.map(([at, what]) => `${JSON.stringify({ at, index, what })}\n`).join(''));
  }

  // The machine stood still until then.
  starve(at, lateMs) {
    appendFileSync(join(this.folder, 'machine.ndjson'), `${JSON.stringify({ at, lateMs })}\n`);
  }

  // Another answer to this step (at this pod, if it is given), in the middle of the sale: when it was asked, and answered.
  answer(step, pod, change) {
    const asked = {};
    let found;
    this.history(/^(GET \/api\/queue|GET \/api\/reservations$|JOIN)/.test(step) ? 'probe.ndjson' : POLLS, (lines) => {
      const of = (line) => `${line.probe} ${line.number}`;
      const right = [];
      for (const line of lines) {
        if (line.ask) asked[of(line)] = line.at;
        else if (line.answer === step && line.code < 300 && (pod === undefined || this.ports[line.to]?.endsWith(`.${pod}`))) right.push({ line, at: asked[of(line)] });
      }
      const { line, at } = right[Math.floor(right.length / 2)];
      found = { at, until: line.at };
      Object.assign(line, change);
    });
    return found;
  }
}

const resp = (command) => `*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('')}`;
