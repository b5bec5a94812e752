// SPDX-License-Identifier: MIT
//
// seat_text: seats as text. A name is the organizer's and may run from right to left; it is isolated, so that
// it turns nothing around it.

import { t } from './i18n.js';

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const listOf = new Intl.ListFormat(document.documentElement.lang, { type: 'conjunction' });

export const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);

const placeOf = ({ section, row }, values) => ({ section: isolated(section), row: isolated(row), ...values });

// A seat of a reservation: { section, row, number }.
export const reservedName = (seat) => t('seat_name', placeOf(seat, { number: seat.number }));

export const seatName = (seats, i) => t('seat_name', placeOf(seats.row(i), { number: seats.numbers[i] }));

// "Floor, row 3, seats 5 and 6; Balcony, row 1, seat 2": one entry for each row. `list`: { section, row, number }.
export function reservedNames(list) {
  const rows = new Map();
  for (const seat of list) {
    const key = JSON.stringify([seat.section, seat.row]);
    rows.set(key, [...(rows.get(key) ?? []), seat]);
  }
  return listOf.format([...rows.values()].map((row) => (row.length === 1
    ? reservedName(row[0])
    : t('seat_names', placeOf(row[0], { numbers: listOf.format(row.map(({ number }) => String(number))) })))));
}

export const namesOf = (seats, indices) => reservedNames(indices.map((i) => ({ ...seats.row(i), number: seats.numbers[i] })));
