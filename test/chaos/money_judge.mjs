// SPDX-License-Identifier: MIT
//
// Judges seats and money: PostgreSQL against the provider's books, and both against what buyers were told.

export function judgeMoney({ tables, books, buyers, breaks }) {
  const { seats, reservations, reservation_seats: links, payments } = tables;
  const byId = new Map(reservations.map((one) => [one.id, one]));
  const live = new Map(); // seat -> reservation
  for (const { reservation_id: reservation, seat_id: seat, live: isLive } of links) {
    if (!isLive) continue;
    if (live.has(seat)) breaks('seat', `seat ${seat} belongs to reservations ${live.get(seat)} and ${reservation}`);
    live.set(seat, reservation);
  }
  for (const { id, status, holder } of seats) {
    if (status !== 'sold') continue;
    if (byId.get(live.get(id))?.status !== 'confirmed' || holder !== live.get(id)) breaks('seat', `seat ${id} is sold, and no confirmed reservation has it`);
  }
  const soldTo = new Map();
  for (const { id, status } of seats) if (status === 'sold') soldTo.set(live.get(id), (soldTo.get(live.get(id)) ?? 0) + 1);
  for (const { id, status, seat_count: count } of reservations) {
    if (status === 'confirmed' && soldTo.get(id) !== count) breaks('seat', `reservation ${id} is confirmed for ${count} seats, and has ${soldTo.get(id) ?? 0}`);
  }

  const recorded = new Map(payments.map((one) => [one.reference, one]));
  for (const charge of books) {
    const payment = recorded.get(charge.reference);
    const good = charge.status === 'refunded' ? ['refunded'] : ['paid', 'refund_due'];
    if (!payment || payment.reservation_id !== charge.reservationId || Number(payment.amount) !== charge.amount || payment.currency !== charge.currency || !good.includes(payment.status)) {
      breaks('money', `charge ${charge.reference} of ${charge.amount} is recorded as ${payment ? `${payment.status} ${payment.amount} for ${payment.reservation_id}` : 'nothing'}`);
    }
    if (payment?.status === 'paid' && byId.get(charge.reservationId)?.status !== 'confirmed') breaks('money', `charge ${charge.reference} was paid, and its reservation is ${byId.get(charge.reservationId)?.status}`);
  }
  const taken = new Set(books.map(({ reference }) => reference));
  for (const { reference, status } of payments) {
    if (['paid', 'refund_due', 'refunded'].includes(status) && !taken.has(reference)) breaks('money', `payment ${reference} is ${status}, and the provider never took it`);
  }
  const paid = new Map();
  for (const { reservation_id: id, status, amount } of payments) if (status === 'paid') paid.set(id, [...(paid.get(id) ?? []), Number(amount)]);
  for (const { id, status, total } of reservations) {
    if (status === 'confirmed' && Number(total) > 0 && (paid.get(id)?.length !== 1 || paid.get(id)[0] !== Number(total))) breaks('money', `reservation ${id} costs ${total}, and was paid ${paid.get(id) ?? 'not at all'}`);
  }

  for (const buyer of buyers) judgeBought(buyer, byId, recorded, breaks);
}

// What a buyer was told of a purchase is so.
function judgeBought({ id, events }, byId, recorded, breaks) {
  for (const { step, code, body } of events) {
    if (!step?.startsWith('GET /api/reservations/{id}') || code !== 200 || body?.status !== 'confirmed') continue;
    const row = byId.get(body.id);
    if (row?.status !== 'confirmed' || row.buyer !== id) breaks('seat', `${id} was told that reservation ${body.id} is theirs, and it is ${row ? `${row.status}, of ${row.buyer}` : 'unknown'}`);
  }
  for (const { step, code, body } of events) {
    if (step !== 'GET /charges/{reference}' || code !== 200 || !['refund_due', 'refunded'].includes(body?.payment)) continue;
    if (!['refund_due', 'refunded'].includes(recorded.get(body.reference)?.status)) breaks('money', `${id} was told that ${body.reference} is due back, and it is ${recorded.get(body.reference)?.status}`);
  }
}
