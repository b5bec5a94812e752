// SPDX-License-Identifier: MIT
//
// rules.yaml beside this file: the rules of monitoring/rules as a PrometheusRule (`make monitoring`). Kustomize cannot put a
// file into the spec of an object, so it is checked in; with --check this fails when it is old (`make lint`).

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SOURCE = new URL('../../../monitoring/rules/tiketi.rules.yaml', import.meta.url);
export const FILE = new URL('rules.yaml', import.meta.url);

const HEAD = `# SPDX-License-Identifier: MIT
#
# Made by generate.mjs from monitoring/rules/tiketi.rules.yaml. Do not edit: \`make monitoring\`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tiketi
  labels:
    # The one by which many installations of the operator choose their rules; yours may want another.
    release: prometheus
spec:
`;

// The rules as they are, comments and all, two columns to the right.
export const made = () => HEAD + readFileSync(SOURCE, 'utf8').replace(/^[^]*?(?=^groups:$)/m, '').replace(/^(?=.)/gm, '  ');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isOld = readFileSync(FILE, 'utf8') !== made();
  if (process.argv[2] !== '--check') writeFileSync(FILE, made());
  else if (isOld) {
    console.error('k8s/components/monitoring/rules.yaml: not as monitoring/rules/tiketi.rules.yaml has it (make monitoring)');
    process.exitCode = 1;
  }
}
