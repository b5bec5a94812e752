// SPDX-License-Identifier: MIT
//
// What a strict reader makes of the bytes that the wire fuzzer sends, and of those that come back. Texts are latin1:
// one character is one byte.
//
// The reader of requests knows one form of each thing (RFC 9112 without its tolerances), as any proxy in front would
// have to. A server that answers more requests than it finds has taken a part of one for another request.

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const blanks = (text) => text.replace(/^[ \t]+|[ \t]+$/g, '');

// The end of a chunked body that begins at `at`; 'incomplete' or 'malformed' when there is none.
function chunksEnd(text, at) {
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = text.slice(at, line < 0 ? text.length : line);
    if (line < 0) return /^([0-9a-fA-F]{1,15}(;[\t\x20-\x7e\x80-\xff]*)?)?\r?$/.test(size) ? 'incomplete' : 'malformed';
    const match = /^([0-9a-fA-F]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?$/.exec(size);
    if (!match) return 'malformed';
    const length = parseInt(match[1], 16);
    at = line + 2;
    if (length === 0) break;
    if (at + length > text.length) return 'incomplete';
    at += length;
    const end = text.slice(at, at + 2);
    if (end !== '\r\n') return '\r\n'.startsWith(end) ? 'incomplete' : 'malformed';
    at += 2;
  }
  for (;;) { // trailers
    const line = text.indexOf('\r\n', at);
    if (line < 0) return 'incomplete';
    if (line === at) return at + 2;
    const trailer = text.slice(at, line);
    const colon = trailer.indexOf(':');
    if (colon < 0 || !TOKEN.test(trailer.slice(0, colon)) || !VALUE.test(trailer.slice(colon + 1))) return 'malformed';
    at = line + 2;
  }
}

// One request at `at`: { method, close, end }, 'incomplete' or 'malformed'.
function readRequest(text, at) {
  while (text.startsWith('\r\n', at)) at += 2;
  const end = text.indexOf('\r\n\r\n', at);
  const head = text.slice(at, end < 0 ? text.length : end);
  if (at === text.length || head === '\r') return 'incomplete';
  const [line, ...fields] = head.split('\r\n');
  const complete = (i) => end >= 0 || i < fields.length; // is the line before fields[i] there as a whole?
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([0-9])$/.exec(line);
  if (!match) return complete(0) ? 'malformed' : 'incomplete';
  const seen = new Map();
  for (let i = 0; i < fields.length; i++) {
    const colon = fields[i].indexOf(':');
    if (colon < 0 || !TOKEN.test(fields[i].slice(0, colon)) || !VALUE.test(fields[i].slice(colon + 1))) return complete(i + 1) ? 'malformed' : 'incomplete';
    const name = fields[i].slice(0, colon).toLowerCase();
    seen.set(name, [...(seen.get(name) ?? []), blanks(fields[i].slice(colon + 1))]);
  }
  if (end < 0) return 'incomplete';
  const old = match[3] === '0';
  const lengths = seen.get('content-length') ?? [];
  const codings = seen.get('transfer-encoding') ?? [];
  const hosts = (seen.get('host') ?? []).length;
  if (lengths.length + codings.length > 1 || hosts > 1 || (!old && hosts === 0)) return 'malformed';
  if (lengths.length === 1 && !/^[0-9]{1,18}$/.test(lengths[0])) return 'malformed';
  if (codings.length === 1 && (old || codings[0].toLowerCase() !== 'chunked')) return 'malformed';
  const body = end + 4;
  const stop = codings.length === 1 ? chunksEnd(text, body) : body + Number(lengths[0] ?? 0);
  if (typeof stop === 'string') return stop;
  if (stop > text.length) return 'incomplete';
  const words = (seen.get('connection') ?? []).join(',').toLowerCase().split(/[ \t,]+/);
  return { method: match[1], close: words.includes('close') || (old && !words.includes('keep-alive')), end: stop };
}

// All requests of a connection: { methods, rest }. rest: 'none', 'incomplete' or 'malformed'.
export function readRequests(text) {
  const methods = [];
  for (let at = 0; at < text.length;) {
    const request = readRequest(text, at);
    if (typeof request === 'string') return { methods, rest: /^(\r\n)*$/.test(text.slice(at)) ? 'none' : request };
    methods.push(request.method);
    if (request.close) return { methods, rest: 'none' };
    at = request.end;
  }
  return { methods, rest: 'none' };
}

// The answers to `methods`, and at most one to what follows these requests: { answers: [{ status, headers, body }],
// wrong, partial }. wrong: why the bytes are no such answers. partial: the last answer has not come to its end.
export function readAnswers(text, { methods, rest }, closed) {
  const answers = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return { answers, partial: true, wrong: /^HTTP\/1\.1 /.test(text.slice(at, at + 9).padEnd(9, '\0').replace(/\0+$/, '')) || 'HTTP/1.1 '.startsWith(text.slice(at, at + 9)) ? undefined : `no status line: ${text.slice(at, at + 60)}` };
    const [line, ...fields] = text.slice(at, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 ([1-5][0-9][0-9])( |$)/.exec(line)?.[1]);
    if (!status) return { answers, wrong: `no status line: ${line.slice(0, 60)}` };
    at = end + 4;
    if (status < 200) continue;
    if (answers.length === methods.length + (rest === 'none' ? 0 : 1)) return { answers, wrong: `an answer too many: ${line}` };
    const headers = {};
    for (const field of fields) {
      const colon = field.indexOf(':');
      const name = field.slice(0, colon).toLowerCase();
      if (colon < 1 || !VALUE.test(field)) return { answers, wrong: `a header that is none: ${field.slice(0, 60)}` };
      if (name in headers && !['set-cookie', 'vary', 'link'].includes(name)) return { answers, wrong: `${name} twice in ${line}` };
      headers[name] = name in headers ? `${headers[name]}\n${field.slice(colon + 1).trim()}` : field.slice(colon + 1).trim();
    }
    const method = methods[answers.length];
    // What is malformed may be a HEAD all the same: its answer is the last, and has no body or a whole one.
    const bare = method === 'HEAD' || status === 204 || status === 304 || (method === undefined && closed && at === text.length);
    let stop = at;
    if (!bare && 'transfer-encoding' in headers) {
      stop = chunksEnd(text, at);
      if (stop === 'malformed') return { answers, wrong: `chunks that are none in ${line}` };
      if (stop === 'incomplete') return { answers, partial: true };
    } else if (!bare && 'content-length' in headers) {
      stop = at + Number(headers['content-length']);
    } else if (!bare) {
      stop = text.length;
      if (!closed) return { answers, partial: true };
    }
    if (stop > text.length) return { answers, partial: true };
    const body = text.slice(at, stop);
    if (status === 500) return { answers, wrong: `500: ${body.slice(0, 300)}` };
    if (/json/.test(headers['content-type']) && !bare && !('transfer-encoding' in headers) && !('content-encoding' in headers)) {
      try {
        const whole = Buffer.from(body, 'latin1').toString('utf8');
        for (const one of /ndjson/.test(headers['content-type']) ? whole.split('\n').filter(Boolean) : [whole]) JSON.parse(one);
      } catch {
        return { answers, wrong: `JSON that is none in ${line}: ${body.slice(0, 200)}` };
      }
    }
    answers.push({ status, headers, body });
    at = stop;
  }
  return { answers };
}

// ---- WebSocket ----

// The frames of `text`: { frames: [{ opcode, fin, payload }], state, closed }. state: 'open', 'incomplete', 'broken' when
// RFC 6455 is, 'unclear' after a length that is not in its shortest form. closed: the number of frames up to and with the
// first close frame.
export function readFrames(text, fromClient) {
  const frames = [];
  let fragmented = false;
  let closed;
  for (let at = 0; at < text.length;) {
    const first = text.charCodeAt(at);
    const opcode = first & 15;
    const control = opcode >= 8;
    if (first & 0x70 || ![0, 1, 2, 8, 9, 10].includes(opcode)) return { frames, closed, state: 'broken' };
    if (at + 1 >= text.length) return { frames, closed, state: 'incomplete' };
    const second = text.charCodeAt(at + 1);
    let length = second & 127;
    if (control && (length > 125 || !(first & 128))) return { frames, closed, state: 'broken' };
    if (!control && (opcode === 0) !== fragmented) return { frames, closed, state: 'broken' };
    if (fromClient !== Boolean(second & 128)) return { frames, closed, state: 'broken' };
    at += 2;
    const wide = length === 126 ? 2 : length === 127 ? 8 : 0;
    if (at + wide > text.length) return { frames, closed, state: 'incomplete' };
    if (wide) {
      length = 0;
      for (let i = 0; i < wide; i++) length = length * 256 + text.charCodeAt(at + i);
      if (length < (wide === 2 ? 126 : 65536) || (wide === 8 && text.charCodeAt(at) & 128)) return { frames, closed, state: 'unclear' };
      at += wide;
    }
    const key = fromClient ? text.slice(at, at + 4) : '';
    at += key.length;
    if (at + length > text.length) return { frames, closed, state: 'incomplete' };
    let payload = text.slice(at, at + length);
    if (fromClient) payload = [...payload].map((char, i) => String.fromCharCode(char.charCodeAt(0) ^ key.charCodeAt(i % 4))).join('');
    frames.push({ opcode, fin: Boolean(first & 128), payload });
    at += length;
    if (opcode === 8) closed ??= frames.length;
    if (!control) fragmented = !(first & 128);
  }
  return { frames, closed, state: 'open' };
}

// The message of a text frame; of Socket.IO, the packet in the same shape. Throws when it is none.
function readMessage(text, socketio) {
  if (!socketio) return JSON.parse(text);
  const [, type, ack, rest] = /^(0|1|2|40|41|42|43|44)(?:\/[^,]*,)?([0-9]*)([^]*)$/.exec(text) ?? [];
  if (type === undefined || (ack !== '') !== (type === '43') || (['1', '2', '41'].includes(type) && rest !== '')) throw new Error('no packet of a server');
  const value = rest === '' ? [] : JSON.parse(rest);
  if (type === '42' && value.length !== 2) throw new Error('no event');
  return type === '42' ? { event: value[0], payload: value[1] } : { event: type };
}

// What is wrong with the bytes of a WebSocket server, or undefined: after the handshake only good frames, only JSON in
// them, no message after the close frame.
export function readSocket(text, closed) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return text !== '' && closed ? { wrong: `half an answer: ${text.slice(0, 60)}` } : {};
  const status = Number(/^HTTP\/1\.1 ([1-5][0-9][0-9])( |$)/.exec(text)?.[1]);
  if (!status) return { wrong: `no status line: ${text.slice(0, 60)}` };
  if (status !== 101) {
    if (status === 500) return { status, wrong: `500: ${text.slice(0, 300)}` };
    return { status, wrong: /HTTP\/1\.1 /.test(text.slice(end)) ? 'a handshake with two answers' : undefined };
  }
  const { frames, state, closed: closing } = readFrames(text.slice(end + 4), false);
  if (state === 'broken' || state === 'unclear') return { status, wrong: `frames of the server: ${state}` };
  // A control frame may follow; libwebsockets answers a ping that it read before it noticed.
  if (closing && frames.slice(closing).some(({ opcode }) => opcode < 8)) return { status, wrong: 'a message after the close frame' };
  const socketio = frames.find(({ opcode }) => opcode === 1)?.payload.startsWith('0{');
  for (const { opcode, fin, payload } of frames) {
    if (opcode !== 1) continue;
    try {
      const message = readMessage(Buffer.from(payload, 'latin1').toString('utf8'), socketio);
      if (!fin || typeof message.event !== 'string') throw new Error('no event');
      if (message.payload?.code === 'internal') return { status, wrong: `an internal error: ${payload.slice(0, 300)}` };
    } catch (error) {
      return { status, wrong: `a message that is none (${error.message}): ${payload.slice(0, 200)}` };
    }
  }
  return { status, frames, closing };
}
