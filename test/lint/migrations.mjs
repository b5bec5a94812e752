// SPDX-License-Identifier: MIT
//
// Expand, then contract: programs of the previous release go on while a migration runs and after it, so a migration or a
// file of functions must not take away what they use, nor ask for what they do not give. A statement that does needs a
// comment above it:
//
//   -- contracts: generation 60: why                    programs before this generation used it; sql/functions/oldest has to
//                                                       say 60 or more, so that they are refused by name
//   -- compatible: why                                  no program notices, since …
//
// docs/operations.md, "Changing the schema", has the rule. Part of `make lint`.

import { readFileSync, readdirSync } from 'node:fs';

const root = new URL('../../sql/', import.meta.url);

// Migrations are never edited, so those from before the rule have no comments.
const BEFORE_THE_RULE = '0018';

// Statements as { text, line, comment }: `comment` is what stands right above. Texts of functions and of strings are left out, but
// for the body of DO, which runs at once.
export function statements(sql) {
  const found = [];
  let comment = '';
  let text = '';
  let line = 1;
  let first = 0;
  const token = /--[^\n]*|\/\*[\s\S]*?\*\/|(\$\w*\$)[\s\S]*?\1|'(?:[^']|'')*'|"[^"]*"|\n|;|[^\n;$'"/-]+|./g;
  for (const [part] of sql.matchAll(token)) {
    if (part.startsWith('--') || part.startsWith('/*')) {
      if (!text.trim()) comment += `${part}\n`;
    } else if (part === ';') {
      found.push({ text: text.trim(), line: first, comment });
      text = comment = '';
    } else if (part === '\n' && !text.trim()) {
      if (/^\s*\n?$/.test(text) && sql.split('\n')[line]?.trim() === '') comment = ''; // an empty line ends a comment
      text = '';
    } else {
      if (!text.trim() && part.trim()) first = line;
      text += /^['$]/.test(part) && !/^DO\b/i.test(text.trim()) ? "''" : part;
    }
    line += part.split('\n').length - 1;
  }
  return found;
}

const WITHOUT_DEFAULT = 'asks for a value that an older program may not give';
const FAULTS = [
  [/^DROP\s+(?!TRIGGER\b)(\w+(?:\s+VIEW)?)/i, 'takes away what an older program may use'],
  [/^ALTER\s+TABLE\b[\s\S]*\bDROP\s+(?!NOT\s+NULL\b|DEFAULT\b|EXPRESSION\b)/i, 'takes away what an older program may use'],
  [/^ALTER\b[\s\S]*\bRENAME\b/i, 'takes away a name'],
  [/^ALTER\s+TABLE\b[\s\S]*\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b/i, 'changes a type'],
  [/^ALTER\s+TYPE\b(?![\s\S]*\bADD\s+VALUE\b)/i, 'changes a type'],
  [/^ALTER\s+TABLE\b[\s\S]*\bSET\s+NOT\s+NULL\b/i, 'asks for a value that an older program may not give'],
  [/^ALTER\s+TABLE\b[\s\S]*\bDROP\s+DEFAULT\b/i, 'asks for a value that an older program may not give'],
  [/^ALTER\s+TABLE\b[\s\S]*\bADD\s+(?:CONSTRAINT\s+\S+\s+)?(?:CHECK|UNIQUE|PRIMARY\s+KEY|FOREIGN\s+KEY|EXCLUDE)\b/i, 'refuses what an older program may write'],
  [/^CREATE\s+UNIQUE\s+INDEX\b/i, 'refuses what an older program may write'],
  [/^TRUNCATE\b/i, 'takes away rows'],
];

// In a body of DO a statement may stand anywhere, also as the text of an EXECUTE.
function faultOfBlock(text) {
  const body = text.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
  const parts = body.split(/;|\b(?:BEGIN|THEN|ELSE|LOOP|EXECUTE)\b|'/i).map((part) => part.trim());
  return parts.map((part) => FAULTS.find(([pattern]) => pattern.test(part))?.[1] ?? (demandsColumn(part) && WITHOUT_DEFAULT)).find(Boolean);
}

// A column that must be given: NOT NULL without a default, in ALTER TABLE … ADD.
function demandsColumn(text) {
  if (!/^ALTER\s+TABLE\b/i.test(text)) return false;
  const parts = text.split(/,(?![^(]*\))/);
  return parts.some((part) => /\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT\b|CHECK\b|UNIQUE\b|PRIMARY\b|FOREIGN\b|EXCLUDE\b)/i.test(part)
    && /\bNOT\s+NULL\b/i.test(part) && !/\b(DEFAULT|GENERATED)\b/i.test(part));
}

// Of one file: its faults, as texts. Tables that the file itself creates are nobody's yet.
export function faultsOf(sql, { oldest, generation }) {
  const faults = [];
  const fresh = new Set();
  for (const { text, line, comment } of statements(sql)) {
    const created = /^CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)/i.exec(text)?.[1];
    if (created) fresh.add(created);
    const table = /^ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(\w+)/i.exec(text)?.[1] ?? /^CREATE\s+UNIQUE\s+INDEX\b[\s\S]*?\bON\s+(\w+)/i.exec(text)?.[1];
    if (table && fresh.has(table)) continue;
    const why = /^DO\b/i.test(text) ? faultOfBlock(text) : FAULTS.find(([pattern]) => pattern.test(text))?.[1] ?? (demandsColumn(text) && WITHOUT_DEFAULT);
    if (!why || /^-- compatible: \S/m.test(comment)) continue;
    const since = /^-- contracts: generation (\d+): \S/m.exec(comment)?.[1];
    const what = `${line}: ${text.replace(/\s+/g, ' ').slice(0, 60)}: ${why}`;
    if (since === undefined) faults.push(`${what}; expand first, and say "-- contracts: generation N: why" or "-- compatible: why" above it`);
    else if (+since > oldest) faults.push(`${what}; sql/functions/oldest has to be ${since} or more, so that older programs are refused`);
    else if (+since > generation) faults.push(`${what}; there is no generation ${since} yet`);
  }
  return faults;
}

// ---- the rule itself is tried first ----

const now = { oldest: 5, generation: 9 };
for (const bad of ['DROP TABLE a', 'DROP FUNCTION IF EXISTS f (text)', 'ALTER TABLE a DROP COLUMN b', 'ALTER TABLE a ADD b int, DROP c',
  'ALTER TABLE a RENAME TO b', 'ALTER TABLE a RENAME COLUMN b TO c', 'ALTER FUNCTION f (int) RENAME TO g', 'ALTER TABLE a ALTER COLUMN b TYPE bigint',
  'ALTER TABLE a ALTER b SET DATA TYPE text', 'ALTER TYPE t ALTER ATTRIBUTE x TYPE int', 'ALTER TABLE a ALTER COLUMN b SET NOT NULL',
  'ALTER TABLE a ADD COLUMN b int NOT NULL', 'ALTER TABLE a ADD COLUMN c int,\n ADD COLUMN b int NOT NULL', 'ALTER TABLE a ALTER COLUMN b DROP DEFAULT',
  'ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)', 'ALTER TABLE a ADD UNIQUE (b)', 'CREATE UNIQUE INDEX i ON a (b)', 'TRUNCATE a',
  '-- contracts: generation 6: too new\nDROP TABLE a', '-- contracts: it is old\nDROP TABLE a', '-- compatible: said above\n\nDROP TABLE a',
  "DO $$ BEGIN DROP TABLE a; END $$", "DO $x$ BEGIN IF true THEN ALTER TABLE a RENAME COLUMN b TO c; END IF; END $x$",
  "DO $$ BEGIN EXECUTE 'ALTER TABLE a ADD COLUMN b int NOT NULL'; END $$ LANGUAGE plpgsql", "DO 'BEGIN EXECUTE format(''DROP TABLE %I'', 1); END'",
  "SELECT ';'; DROP TABLE a", '-- compatible: the first\nDROP TABLE b; DROP TABLE a']) {
  if (faultsOf(`${bad};`, now).length !== 1) throw new Error(`the lint of migrations does not see: ${bad}`);
}
for (const good of ['CREATE TABLE a (b int NOT NULL)', 'ALTER TABLE a ADD COLUMN b int', 'ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0',
  'ALTER TABLE a ALTER COLUMN b DROP NOT NULL', 'ALTER TABLE a ALTER COLUMN b SET DEFAULT 1', 'CREATE INDEX i ON a (b)', 'ALTER TYPE t ADD VALUE \'x\'',
  "CREATE TABLE a (b int); ALTER TABLE a ADD UNIQUE (b); CREATE UNIQUE INDEX i ON a (b)", "COMMENT ON TABLE a IS 'DROP TABLE a; it''s'",
  'CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN DROP TABLE a; END $f$', '-- DROP TABLE a\nSELECT 1',
  "DO $$ BEGIN -- DROP TABLE a\n PERFORM 'the table'; UPDATE a SET b = 0 WHERE b IS NULL; END $$", '-- compatible: a temporary one\nDO $$ BEGIN DROP TABLE a; END $$',
  '-- contracts: generation 5: nobody reads it\nDROP TABLE a', '-- What it is.\n-- compatible: a temporary one\nDROP TABLE a']) {
  const faults = faultsOf(`${good};`, now);
  if (faults.length > 0) throw new Error(`the lint of migrations refuses: ${good}\n${faults.join('\n')}`);
}

// ---- the files ----

const number = (path) => Number(/^\d+/.exec(readFileSync(new URL(path, root), 'utf8')));
const releases = { oldest: number('functions/oldest'), generation: number('functions/generation') };
let failed = false;
const complain = (text) => {
  console.log(text);
  failed = true;
};
if (!(releases.oldest >= 1 && releases.oldest <= releases.generation)) complain(`sql/functions/oldest: ${releases.oldest} is not a generation up to ${releases.generation}`);
let files = 0;
for (const folder of ['migrations', 'functions']) {
  for (const name of readdirSync(new URL(`${folder}/`, root)).filter((one) => one.endsWith('.sql')).sort()) {
    files++;
    if (folder === 'migrations' && name < BEFORE_THE_RULE) continue;
    for (const fault of faultsOf(readFileSync(new URL(`${folder}/${name}`, root), 'utf8'), releases)) complain(`sql/${folder}/${name}:${fault}`);
  }
}
if (files < 20) complain(`migrations.mjs found ${files} files: it does not look where they are`);
process.exit(failed ? 1 : 0);
