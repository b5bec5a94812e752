-- SPDX-License-Identifier: MIT
--
-- What a provider has returned in parts, and until when a hold may be renewed.

-- The latest moment to which the hold, and those that renew it, may last. NULL: it was made before there was a limit.
ALTER TABLE reservations ADD COLUMN renewable_until timestamptz;

-- How much of `amount` the provider has returned so far.
ALTER TABLE payments ADD COLUMN refunded_amount bigint NOT NULL DEFAULT 0;

-- Refunds of parts of a payment, by the provider's id: a report that is repeated counts once.
CREATE TABLE payment_refunds (
    payment_id bigint NOT NULL REFERENCES payments (id),
    refund_id  text NOT NULL,
    amount     bigint NOT NULL CHECK (amount > 0), -- minor units
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payment_id, refund_id)
);
