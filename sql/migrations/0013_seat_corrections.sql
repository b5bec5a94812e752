-- SPDX-License-Identifier: MIT
--
-- Seats can be corrected, blocked, and refunded one by one.

-- A blocked seat is for sale to nobody, until staff unblock it. Nobody holds it.
ALTER TABLE seats
    ADD COLUMN block_reason text CHECK (length(block_reason) BETWEEN 1 AND 200),
    DROP CONSTRAINT seats_status_check,
    DROP CONSTRAINT seats_check,
    ADD CONSTRAINT seats_status_check CHECK (status IN ('available', 'held', 'sold', 'blocked')),
    ADD CONSTRAINT seats_check CHECK ((status IN ('held', 'sold')) = (holder IS NOT NULL)),
    ADD CONSTRAINT seats_block_check CHECK ((status = 'blocked') = (block_reason IS NOT NULL));

-- Rises with each correction of seats that is more than a change of status: of a price or a name, and when seats go.
-- It is a part of the version of the seat map, which must not fall when seats go: then it rises by their versions.
ALTER TABLE events ADD COLUMN seats_layout bigint NOT NULL DEFAULT 0;

-- Seats that staff have removed, but that a reservation had once: it goes on showing them.
CREATE TABLE removed_seats (
    id           bigint PRIMARY KEY, -- that of table seats
    event_id     text COLLATE "C" NOT NULL,
    section      text NOT NULL,
    row          text NOT NULL,
    number       integer NOT NULL,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    currency     text NOT NULL,
    removed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A seat may be removed although reservations of before name it. That none with a live row is removed is seen to by
-- seats_delete, under the lock of the seat.
ALTER TABLE reservation_seats
    DROP CONSTRAINT reservation_seats_event_id_seat_id_fkey,
    ADD COLUMN price bigint,            -- what the buyer pays for it, whatever the seat costs later; NULL: taken before
                                        -- there was this column, and then it is that of the seat
    ADD COLUMN refunded_at timestamptz; -- when it was refunded by itself, while the purchase goes on

UPDATE reservation_seats rs SET price = s.price FROM seats s WHERE s.id = rs.seat_id;

-- seat_count is without the seats that were refunded; total is that of the purchase, and this the part of it that was
-- refunded with single seats.
ALTER TABLE reservations ADD COLUMN returned bigint NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND total);

-- What must still be returned of `amount`: refunds that staff have decided, and money for seats that could not be sold.
-- The provider's reports move it to refunded_amount.
ALTER TABLE payments ADD COLUMN due_amount bigint NOT NULL DEFAULT 0;
UPDATE payments SET due_amount = amount - refunded_amount WHERE status = 'refund_due';
ALTER TABLE payments ADD CONSTRAINT payments_sums
    CHECK (due_amount >= 0 AND refunded_amount >= 0 AND refunded_amount + due_amount <= amount);
CREATE INDEX payments_due ON payments (event_id, id) WHERE due_amount > 0;
