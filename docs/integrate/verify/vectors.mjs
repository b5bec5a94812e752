// SPDX-License-Identifier: MIT
//
// Writes vectors.json: passes, and what is none, with what a verifier must say of each. Its keys follow from their names,
// so nobody has to keep them; ECDSA signatures differ each time.
//
//   node docs/integrate/verify/vectors.mjs > docs/integrate/verify/vectors.json

import { createECDH, createHash, createHmac, createPrivateKey, createPublicKey, createSign } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const hash = (text) => createHash('sha256').update(text).digest();

// Never a key of a real deployment: anybody can make it.
function keyOf(name) {
  const d = hash(`tiketi test vectors: ${name}`);
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') };
  const kid = hash(`{"crv":"P-256","kty":"EC","x":"${jwk.x}","y":"${jwk.y}"}`).toString('base64url'); // RFC 7638
  const secret = createPrivateKey({ format: 'jwk', key: { ...jwk, d: d.toString('base64url') } });
  return { jwk: { ...jwk, kid, use: 'sig', alg: 'ES256' }, kid, secret, pem: createPublicKey(secret).export({ format: 'pem', type: 'spki' }) };
}

const [now, next, stranger] = ['now', 'next', 'stranger'].map(keyOf);
const EVENT = 'summer-2030';
// `iat` lies ahead, as it may by the clock of another machine: no reason to refuse.
const UNTIL = 4102444800; // the first second of 2100
const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const claims = (changes = {}) => Object.fromEntries(Object.entries({
  iss: 'tiketi', aud: EVENT, event: EVENT, sub: 'g:00112233445566778899aabbccddeeff', place: '1893456000000000', epoch: 1, iat: 1893456000,
  exp: UNTIL, jti: '0123456789abcdef0123456789abcdef', ...changes,
}).filter(([, value]) => value !== undefined));

function es256(payload, { key = now, header = {}, encoding = 'ieee-p1363' } = {}) {
  const text = `${part({ alg: 'ES256', typ: 'JWT', kid: key.kid, ...header })}.${part(payload)}`;
  return `${text}.${createSign('SHA256').update(text).sign({ key: key.secret, dsaEncoding: encoding }).toString('base64url')}`;
}

function hs256(payload, secret) {
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid: now.kid })}.${part(payload)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const good = es256(claims());
const [header, payload, signature] = good.split('.');
const flipped = Buffer.from(signature, 'base64url');
flipped[40] ^= 1;
const order = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'; // n of P-256

const accepted = [
  ['good', claims(), good],
  ['of a signed-in buyer', claims({ sub: 'u:kim@example.com' })],
  ['of a buyer whose name has quotes, backslashes and letters of many kinds', claims({ sub: 'u:"김","aud":"other-event\\' })],
  ['signed with the second key of the list', claims(), es256(claims(), { key: next })],
].map(([name, of, token = es256(of)]) => ({ name, token, buyer: of.sub, expires: of.exp }));

const refused = [
  ['expired', es256(claims({ iat: 1577836800, exp: 1577837400 }))],
  ['no end', es256(claims({ exp: undefined }))],
  ['of another event', es256(claims({ aud: 'winter-2030', event: 'winter-2030' }))],
  ['of an event whose name only begins like this one', es256(claims({ aud: `${EVENT}-2`, event: `${EVENT}-2` }))],
  ['of no event', es256(claims({ aud: undefined, event: undefined }))],
  ['of no buyer', es256(claims({ sub: undefined }))],
  ['of another issuer', es256(claims({ iss: 'somebody' }))],
  ['of no issuer', es256(claims({ iss: undefined }))],
  ["the code on a ticket", es256({ iss: 'tiketi', aud: `ticket:${EVENT}`, jti: 'TK-1.7', seat: ['A', '1', '7'] })],
  ['a hand-over', es256(claims({ aud: `handoff:${EVENT}` }))],
  ["another key's signature under a known name", es256(claims(), { key: stranger, header: { kid: now.kid } })],
  ['a key that nobody has published', es256(claims(), { key: stranger })],
  ['a key that the token brings itself', es256(claims(), { key: stranger, header: { jwk: stranger.jwk } })],
  ['the name of one key, the signature of another', es256(claims(), { key: next, header: { kid: now.kid } })],
  ['altered: another buyer', `${header}.${part(claims({ sub: 'u:thief' }))}.${signature}`],
  ['altered: a later end', `${header}.${part(claims({ exp: UNTIL + 1 }))}.${signature}`],
  ['altered: a bit of the signature', `${header}.${payload}.${flipped.toString('base64url')}`],
  ['a shortened signature', `${header}.${payload}.${Buffer.from(signature, 'base64url').subarray(0, 63).toString('base64url')}`],
  ['a signature of zeros', `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`],
  ['a signature of the order of the curve', `${header}.${payload}.${Buffer.from(order + order, 'hex').toString('base64url')}`],
  ['a signature in DER', es256(claims(), { encoding: 'der' })],
  ['no signature', `${header}.${payload}.`],
  ['no signature and no dot before it', `${header}.${payload}`],
  ['alg none', `${part({ alg: 'none', typ: 'JWT', kid: now.kid })}.${payload}.`],
  ['alg None with the old signature', `${part({ alg: 'None', typ: 'JWT', kid: now.kid })}.${payload}.${signature}`],
  ['HS256 with the public key as its secret (PEM)', hs256(claims(), now.pem)],
  ['HS256 with the public key as its secret (its x)', hs256(claims(), Buffer.from(now.jwk.x, 'base64url'))],
  ['HS256 with an empty secret', hs256(claims(), '')],
  ['a good signature of what is no JSON', es256('tiketi')],
  ['a word', 'pass'],
  ['dots alone', '..'],
  ['four parts', `${good}.${signature}`],
].map(([name, token]) => ({ name, token }));

export const vectors = { event: EVENT, jwks: { keys: [now.jwk, next.jwk] }, pem: [now.pem, next.pem], accepted, refused };

if (import.meta.url === pathToFileURL(process.argv[1]).href) console.log(JSON.stringify(vectors, null, 1));
