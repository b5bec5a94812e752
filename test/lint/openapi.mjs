// SPDX-License-Identifier: MIT
//
// docs/openapi.json and docs/asyncapi.json: are they valid OpenAPI 3.1 and AsyncAPI 3 in the style of this project? Part of `make lint`. The tests
// check it against the program's answers (test/fixtures/contract.mjs).

import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

const file = new URL('../../docs/openapi.json', import.meta.url);
const text = readFileSync(file, 'utf8');
const document = JSON.parse(text);
const problems = [];
const refuse = (where, what) => problems.push(`docs/openapi.json: ${where}: ${what}`);

const { valid, errors } = await new Validator().validate(structuredClone(document));
if (!valid) refuse('the document', JSON.stringify(errors, null, 2));

// ---- references: each has a target, and every component is used ----

const used = new Set();
function* walk(value, path = '#') {
  if (value === null || typeof value !== 'object') return;
  yield [path, value];
  for (const [key, inner] of Object.entries(value)) yield* walk(inner, `${path}/${key}`);
}
const find = (pointer) => pointer.slice(2).split('/').reduce((value, key) => value?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], document);

for (const [path, { $ref }] of walk(document)) {
  if (typeof $ref !== 'string') continue;
  used.add($ref);
  if (find($ref) === undefined) refuse(path, `${$ref} points to nothing`);
}
// docs/asyncapi.json has the messages of the socket, and their schemas from here.
const messages = JSON.parse(readFileSync(new URL('../../docs/asyncapi.json', import.meta.url), 'utf8'));
for (const [, { $ref }] of walk(messages)) {
  if (typeof $ref !== 'string') continue;
  const pointer = $ref.replace(/^openapi\.json#/, '#');
  const found = pointer === $ref ? $ref.slice(2).split('/').reduce((value, key) => value?.[key], messages) : find(pointer);
  if (found === undefined) refuse('docs/asyncapi.json', `${$ref} points to nothing`);
  if (pointer !== $ref) used.add(pointer);
}
if (messages.info.version !== document.info.version) refuse('docs/asyncapi.json', 'another version');
{
  const schema = JSON.parse(readFileSync(new URL('../../node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json', import.meta.url), 'utf8'));
  const asyncapi = new Ajv.default({ strict: false, validateFormats: false });
  if (!asyncapi.validate(schema, messages)) refuse('docs/asyncapi.json', JSON.stringify(asyncapi.errors, null, 2));
}

// Referred to by the text, or by the tests, for answers that any request may get.
const ROOTS = new Set(['#/components/responses/MethodNotAllowed', '#/components/responses/Preflight', '#/components/responses/Canonical']);
for (const [kind, list] of Object.entries(document.components)) {
  if (kind === 'securitySchemes') continue;
  for (const name of Object.keys(list)) {
    const pointer = `#/components/${kind}/${name}`;
    if (!used.has(pointer) && !ROOTS.has(pointer)) refuse(pointer, 'nothing refers to it');
  }
}

// ---- schemas: strict, closed, and valid for their examples ----

const ajv = new Ajv2020.default({ strict: true, allowUnionTypes: true, strictTypes: false, strictRequired: false });
formats.default(ajv);
ajv.addVocabulary(Object.keys(document));
ajv.addSchema(document, 'openapi.json');
const pointerOf = (path) => path.split('/').map(encodeURIComponent).join('/').replace('%23', '#');

// Parts of other schemas, by allOf: the whole is closed, by unevaluatedProperties.
const parts = new Set([...walk(document)].flatMap(([, { allOf }]) => (Array.isArray(allOf) ? allOf : [])).map(({ $ref }) => $ref));
const propertiesOf = (schema) => ({ ...schema.properties,
  ...Object.assign({}, ...(schema.allOf ?? []).map(({ $ref }) => propertiesOf(find($ref)))) });

for (const [name, schema] of Object.entries(document.components.schemas)) {
  let validate;
  try {
    validate = ajv.getSchema(`openapi.json#/components/schemas/${name}`);
  } catch (error) {
    refuse(`schema ${name}`, error.message);
    continue;
  }
  for (const example of schema.examples ?? []) {
    if (!validate(example)) refuse(`schema ${name}`, `its example is wrong: ${ajv.errorsText(validate.errors)}`);
  }
  // Bodies have no other fields. A schema for arbitrary JSON says so.
  for (const [path, inner] of walk(schema)) {
    const open = inner.additionalProperties === undefined && inner.unevaluatedProperties === undefined;
    const part = inner === schema && parts.has(`#/components/schemas/${name}`);
    if (inner.type === 'object' && (inner.properties || inner.allOf) && open && !part) refuse(`schema ${name} ${path}`, 'it is open: additionalProperties or unevaluatedProperties is missing');
    if (inner.required) for (const field of inner.required) if (inner.properties && !(field in propertiesOf(inner))) refuse(`schema ${name}`, `${field} is required, but no property`);
  }
}

function checkMedia(where, path, content) {
  for (const [type, { schema, example }] of Object.entries(content ?? {})) {
    if (!schema) refuse(where, `${type} has no schema`);
    if (example === undefined) continue;
    const validate = ajv.getSchema(`openapi.json${pointerOf(`${path}/content/${type.replaceAll('~', '~0').replaceAll('/', '~1')}/schema`)}`);
    if (!validate(example)) refuse(where, `its example is wrong: ${ajv.errorsText(validate.errors)}`);
  }
}
for (const [name, response] of Object.entries(document.components.responses)) checkMedia(`response ${name}`, `#/components/responses/${name}`, response.content);

// ---- operations ----

const tags = new Set(document.tags.map(({ name }) => name));
const ids = new Set();
for (const [path, item] of Object.entries(document.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    if (method === 'parameters') continue;
    const where = `${method.toUpperCase()} ${path}`;
    const { operationId, summary, responses, security, requestBody } = operation;
    if (!operationId || ids.has(operationId)) refuse(where, 'the operationId is missing or not unique');
    ids.add(operationId);
    if (!summary) refuse(where, 'no summary');
    if (!operation.tags?.every((tag) => tags.has(tag))) refuse(where, 'no tag, or an unknown one');
    if (!security) refuse(where, 'security is missing');
    for (const way of security ?? []) for (const name of Object.keys(way)) if (!document.components.securitySchemes[name]) refuse(where, `${name}: no such security scheme`);
    for (const code of ['400', '413', '431', '500', '503']) if (!responses[code]) refuse(where, `${code} is missing, and may happen to any request`);
    if (!Object.keys(responses).some((code) => code < '300')) refuse(where, 'there is no answer of success');
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const given = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((parameter) => (parameter.$ref ? find(parameter.$ref) : parameter));
    for (const name of named) if (!given.some((parameter) => parameter.in === 'path' && parameter.name === name)) refuse(where, `{${name}} is not described`);
    if (method === 'get' && requestBody) refuse(where, 'a GET with a body');
    for (const [code, response] of Object.entries(responses)) {
      if (Number(code) >= 400 && !(response.$ref ? find(response.$ref) : response).content['application/problem+json']) refuse(`${where} ${code}`, 'errors are problem documents');
    }
  }
}

for (const line of problems) console.log(line);
process.exitCode = problems.length > 0 ? 1 : 0;
