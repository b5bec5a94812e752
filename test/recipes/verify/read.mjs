// SPDX-License-Identifier: MIT
// Node.js: passes on standard input, one a line.
import { createInterface } from 'node:readline';
import { passes } from '../../../docs/integrate/verify/passes.mjs';

const buyerOf = passes(process.argv[2], process.argv[3]);
for await (const line of createInterface({ input: process.stdin })) {
  const buyer = await buyerOf(line);
  console.log(buyer ? `yes ${buyer.expires} ${buyer.id}` : 'no');
}
