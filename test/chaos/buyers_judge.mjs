// SPDX-License-Identifier: MIT
//
// Judges what each buyer was told: their place stays, their position never rises, first come is first served, what they
// see is theirs, and what they bought is there.

import { claimsOf } from './history.mjs';
import { CONSUMES } from './log_judge.mjs';

const CLOCK_MS = 100; // between a time in a history and one in the log

// Each answer and message as { at, asked, step, body }: `asked` when it was asked for, or when it came.
function* toldOf(buyer) {
  for (const event of buyer.events) {
    if (event.message) yield { at: event.at, asked: event.at, step: event.message.event, body: event.message.payload ?? {}, code: 200 };
    else if (event.until && event.body !== undefined && event.code < 300) yield { at: event.until, asked: event.at, step: event.step, body: event.body, code: event.code };
  }
}

export function judgeBuyers(about) {
  const { buyers, judges, breaks } = about;
  const consumed = new Map(); // buyer -> [{ place, at }]
  for (const { entries } of judges) {
    for (const { kind, buyer, place, at } of entries) {
      if (!CONSUMES.has(kind)) continue;
      if (!consumed.has(buyer)) consumed.set(buyer, []);
      consumed.get(buyer).push({ place, at });
    }
  }
  about.consumed = consumed;
  const firsts = [];
  const owners = { reservation: new Map(), confirmed: new Map() };
  for (const buyer of buyers) {
    const seen = judgeBuyer(buyer, about, owners);
    if (seen.first) firsts.push(seen.first);
  }
  judgeOrder(firsts, breaks);
  judgeWaiting(about);
}

function judgeBuyer(buyer, { world, consumed, breaks, judges }, owners) {
  const { id } = buyer;
  const ended = consumed.get(id) ?? [];
  const lowest = new Map(); // epoch and place -> position
  let [place, epoch, first] = [0, 0, undefined];
  const asked = buyer.events.find(({ step }) => step)?.at;
  for (const { at, step, body } of toldOf(buyer)) {
    for (const [name, who, event] of [['ticket', 'b', 'e'], ['pass', 'sub', 'event']]) {
      if (!body[name]) continue;
      const claims = claimsOf(body[name]);
      if (!claims) breaks('answer', `${id} was given a ${name} that cannot be read`);
      else if (claims[who] !== id || claims[event] !== world.eventId) breaks('others', `${id} was given the ${name} of ${claims[who]} in ${step}`);
      else if (name === 'ticket') {
        const now = Number(claims.p);
        if (place !== 0 && now !== place && epoch === claims.x && !ended.some((one) => one.place >= place && one.at * 1000 <= at + CLOCK_MS * 1000)) {
          // A lower place is one that a ticket has brought back, after Redis had lost the data.
          if (now > place) breaks('place', `${id} had place ${place} and was given ${now} in ${step}, at ${at}`);
        }
        [place, epoch] = [now, claims.x];
        first ??= { id, place, asked, answered: at };
      }
    }
    if (body.status === 'not_in_queue' && !step.includes('/leave/') && place !== 0 && !ended.some((one) => one.place >= place)) breaks('place', `${id} had place ${place} and was told not_in_queue at ${at}`);
    if (body.position > 0 && place !== 0) {
      const key = `${epoch} ${place}`;
      if (body.position > (lowest.get(key) ?? Infinity)) breaks('position', `${id} was shown ${body.position} after ${lowest.get(key)} in ${step}, at ${at}`);
      lowest.set(key, Math.min(body.position, lowest.get(key) ?? Infinity));
    }
    const reservations = Array.isArray(body.reservations) ? body.reservations : body.seats && body.id ? [body] : body.reservation ? [body.reservation] : [];
    for (const one of reservations) judgeReservation(id, one, owners, breaks);
  }
  void judges;
  return { first };
}

function judgeReservation(id, { id: reservation, status, seats = [] }, owners, breaks) {
  const owner = owners.reservation.get(reservation) ?? id;
  if (owner !== id) breaks('others', `${id} was told of reservation ${reservation} of ${owner}`);
  owners.reservation.set(reservation, owner);
  if (status !== 'confirmed') return;
  for (const seat of seats) {
    const other = owners.confirmed.get(String(seat.id)) ?? reservation;
    if (other !== reservation) breaks('seat', `seat ${seat.id} was confirmed in reservations ${other} and ${reservation}`);
    owners.confirmed.set(String(seat.id), other);
  }
}

// Whoever had their place before another asked for the first time is before them.
function judgeOrder(firsts, breaks) {
  firsts.sort((a, b) => b.place - a.place);
  let soonest;
  for (const one of firsts) {
    if (soonest && soonest.answered < one.asked) breaks('order', `${one.id} asked after ${soonest.id} had place ${soonest.place}, and got ${one.place}`);
    if (!soonest || one.answered < soonest.answered) soonest = one;
  }
}

// A buyer who was told to wait since the last loss of data, and has not left, still waits or is inside.
function judgeWaiting({ buyers, judges, consumed, faults, breaks }) {
  const last = judges.at(-1);
  const lossAt = Math.max(0, ...faults.done.filter(({ loses }) => loses).map(({ end }) => end ?? 0));
  for (const buyer of buyers) {
    let place = 0;
    let heard = 0;
    for (const { at, body } of toldOf(buyer)) {
      if (body.ticket) place = Number(claimsOf(body.ticket)?.p ?? 0);
      if (body.ticket || body.position > 0) heard = at;
    }
    if (place === 0 || heard < lossAt) continue;
    if (last.queue.has(buyer.id) || last.parked.has(buyer.id) || last.active.has(buyer.id)) continue;
    if ((consumed.get(buyer.id) ?? []).some((one) => one.place >= place)) continue;
    breaks('place', `${buyer.id} was told of place ${place} at ${heard}, and Redis has it nowhere in the end`);
  }
}
