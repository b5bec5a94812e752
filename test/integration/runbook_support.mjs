// SPDX-License-Identifier: MIT
//
// docs/runbook.md: its text, its commands, and one of them by a pattern.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../fixtures/index.mjs';

export const text = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
const blocks = [...text.matchAll(/^```\n([^]*?)^```$/gm)].flatMap(([, lines]) => lines.split('\n').map((line) => line.replace(/\s+# .*$/, '')).filter(Boolean));
// Lines of its blocks, and code spans.
export const code = [...blocks, ...[...text.replaceAll(/^```\n[^]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, span]) => span)];

// A command of the runbook, which must have it.
export function step(pattern) {
  const found = code.find((one) => pattern.test(one));
  assert.ok(found, `docs/runbook.md has no ${pattern}`);
  return found;
}
