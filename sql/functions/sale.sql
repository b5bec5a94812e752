-- SPDX-License-Identifier: MIT
--
-- sale: the copies of sales in Redis, and what they are for: a database that was restored from a backup lacks what was sold
-- since, and would sell it again. `tiketi reconcile` compares such a database with the copies, with the live copies of the
-- events and with the books of the payment provider, and puts back what it lacks. docs/backup.md is the procedure.
--
-- The triggers below note each change of a sale in sales_to_copy, in its own transaction. A processor reads the rows, writes
-- the copies to Redis (lua/sales.lua), and deletes the rows; a newer version is never replaced by an older one. So Redis has
-- each sale about a second after its commit, and if it is away, as soon as it is back.
--
-- A copy has no e-mail address. Rehearsals have none: their sales are taken back as a whole.

-- ---- copying ----

CREATE OR REPLACE FUNCTION sale_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.sale_version := greatest(OLD.sale_version + 1, NEW.sale_version);
    INSERT INTO sales_to_copy (reservation_id, version) VALUES (NEW.id, NEW.sale_version)
    ON CONFLICT (reservation_id) DO UPDATE SET version = excluded.version;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER sale_changed
    BEFORE UPDATE OF status, seat_count, eticket_salt ON reservations FOR EACH ROW
    WHEN (NEW.status IN ('confirmed', 'refunded')
          AND (NEW.status, NEW.seat_count, NEW.eticket_salt)
              IS DISTINCT FROM (OLD.status, OLD.seat_count, OLD.eticket_salt))
    EXECUTE FUNCTION sale_changed();

-- The payment of a sale changes after it, when a part of the money is returned. A sale that is to be copied anyway is left
-- alone: the row of a payment that sells is written in the same transaction.
CREATE OR REPLACE FUNCTION sale_payment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_version bigint;
BEGIN
    UPDATE reservations SET sale_version = sale_version + 1
    WHERE id = NEW.reservation_id AND status IN ('confirmed', 'refunded')
      AND NOT EXISTS (SELECT FROM sales_to_copy WHERE reservation_id = NEW.reservation_id)
    RETURNING sale_version INTO v_version;
    IF FOUND THEN
        INSERT INTO sales_to_copy (reservation_id, version) VALUES (NEW.reservation_id, v_version)
        ON CONFLICT (reservation_id) DO UPDATE SET version = excluded.version;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER sale_payment_changed AFTER INSERT OR UPDATE ON payments FOR EACH ROW
    WHEN (NEW.status <> 'pending') EXECUTE FUNCTION sale_payment_changed();

-- A sale with all that is needed to make it again: the row of its reservation, its seats, payments, and the hashes of its
-- tickets' links.
CREATE OR REPLACE FUNCTION sale_json(r reservations) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'reservation', to_jsonb(r) - ARRAY['email', 'swept', 'claim_by', 'renewable_until'],
        'seats', (SELECT jsonb_agg(jsonb_build_object(
                      'id', rs.seat_id, 'section', s.section, 'row', s.row, 'number', s.number,
                      'price', rs.price, 'live', rs.live, 'refunded_at', rs.refunded_at) ORDER BY rs.seat_id)
                  FROM reservation_seats rs LEFT JOIN LATERAL (
                      SELECT n.section, n.row, n.number FROM seats n WHERE n.id = rs.seat_id
                      UNION ALL
                      SELECT d.section, d.row, d.number FROM removed_seats d WHERE d.id = rs.seat_id) AS s ON true
                  WHERE rs.reservation_id = r.id),
        'payments', (SELECT jsonb_agg(to_jsonb(p) - ARRAY['id', 'event_id', 'reservation_id'] || jsonb_build_object(
                         'refunds', (SELECT jsonb_agg(jsonb_build_object('refund_id', f.refund_id, 'amount', f.amount))
                                     FROM payment_refunds f WHERE f.payment_id = p.id)))
                     FROM payments p WHERE p.reservation_id = r.id),
        'etickets', (SELECT jsonb_agg(encode(t.hash, 'hex')) FROM etickets t WHERE t.reservation_id = r.id))
$$;

-- Up to p_limit sales that Redis lacks.
-- listed: {"sales": [{"id", "eventId", "version", "sale"}]}: sale null: there is nothing to copy (a rehearsal)
CREATE OR REPLACE FUNCTION sales_uncopied(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    SELECT 'listed', json_build_object('sales', coalesce(json_agg(json_build_object(
        'id', r.id, 'eventId', r.event_id, 'version', c.version,
        'sale', CASE WHEN coalesce((e.settings ->> 'rehearsal')::boolean, false) THEN NULL
                     ELSE sale_json(r) END)), '[]'))
    FROM (SELECT * FROM sales_to_copy ORDER BY reservation_id LIMIT p_limit) AS c
    JOIN reservations r ON r.id = c.reservation_id
    LEFT JOIN events e ON e.id = r.event_id
$$;

-- Redis has these copies: p_sales is [{"id", "version"}]. marked
CREATE OR REPLACE FUNCTION sales_copied(p_sales jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_n integer;
BEGIN
    DELETE FROM sales_to_copy c USING jsonb_to_recordset(p_sales) AS s (id uuid, version bigint)
    WHERE c.reservation_id = s.id AND c.version = s.version;
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN QUERY SELECT 'marked', json_build_object('sales', v_n);
END $$;

-- Redis has lost its data, and the copies with it: notes all sales of the event again. Rows are locked in the order of their
-- ids, as common.sql has it, before the first note is written; sales that are being changed are waited for, since a change
-- need not be one of the sale. noted
CREATE OR REPLACE FUNCTION sales_copy_again(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_n integer;
BEGIN
    PERFORM FROM reservations r
    WHERE r.event_id = p_event AND r.status IN ('confirmed', 'refunded') AND r.sale_version > 0
    ORDER BY r.id FOR KEY SHARE;
    INSERT INTO sales_to_copy (reservation_id, version)
    SELECT r.id, r.sale_version FROM reservations r
    WHERE r.event_id = p_event AND r.status IN ('confirmed', 'refunded') AND r.sale_version > 0
    ORDER BY r.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN QUERY SELECT 'noted', json_build_object('sales', v_n);
END $$;

-- ---- putting back ----

-- Which of the copies p_copies, [{"id", "version"}], are newer than what is here, or not here at all.
-- compared: {"newer": [ids]}
CREATE OR REPLACE FUNCTION sales_compare(p_copies jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    SELECT 'compared', json_build_object('newer', coalesce(json_agg(c.id) FILTER (WHERE NOT EXISTS (
        SELECT FROM reservations r WHERE r.id = c.id AND r.sale_version >= c.version)), '[]'))
    FROM jsonb_to_recordset(p_copies) AS c (id uuid, version bigint)
$$;

-- Ends the holds that others have of these seats, because the seats were sold before. A payment that is under way is then
-- due back. The rows of the seats are locked afterwards.
CREATE OR REPLACE FUNCTION sale_clear_seats(p_event text, p_id uuid, p_seats bigint[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_others uuid[];
BEGIN
    v_others := ARRAY(SELECT r.id FROM reservations r
                      WHERE r.id <> p_id AND r.status = 'held' AND r.id IN (
                          SELECT rs.reservation_id FROM reservation_seats rs
                          WHERE rs.event_id = p_event AND rs.seat_id = ANY (p_seats) AND rs.live)
                      ORDER BY r.id FOR UPDATE);
    UPDATE reservations SET status = 'cancelled', ended_at = p_now, swept = true WHERE id = ANY (v_others);
    PERFORM seats_release(v_others);
    PERFORM FROM seats WHERE id = ANY (p_seats) ORDER BY id FOR UPDATE;
END $$;

-- Writes the payments of a sale as its copy has them. p_due: the seats cannot be given back, so the money is.
CREATE OR REPLACE FUNCTION sale_restore_payments(p_event text, p_id uuid, p_payments jsonb, p_due boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_item jsonb;
    v_payment payments;
    v_status text;
BEGIN
    FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(nullif(p_payments, 'null'), '[]')) LOOP
        v_payment := jsonb_populate_record(NULL::payments, v_item);
        v_status := CASE WHEN p_due AND v_payment.status = 'paid' THEN 'refund_due'
                         WHEN v_payment.status = 'pending' THEN 'failed' ELSE v_payment.status END;
        INSERT INTO payments AS p (event_id, reservation_id, provider, reference, amount, currency, status, created_at,
                                   settled_at, refunded_amount, due_amount)
        VALUES (p_event, p_id, v_payment.provider, v_payment.reference, v_payment.amount, v_payment.currency, v_status,
                v_payment.created_at, v_payment.settled_at, v_payment.refunded_amount,
                CASE WHEN v_status = 'refund_due' THEN v_payment.amount - v_payment.refunded_amount
                     ELSE v_payment.due_amount END)
        ON CONFLICT (provider, reference) DO UPDATE
            SET status = excluded.status, settled_at = excluded.settled_at,
                refunded_amount = excluded.refunded_amount, due_amount = excluded.due_amount
            WHERE p.reservation_id = p_id
        RETURNING p.id INTO v_payment.id;
        INSERT INTO payment_refunds (payment_id, refund_id, amount)
        SELECT v_payment.id, f.refund_id, f.amount
        FROM jsonb_to_recordset(coalesce(nullif(v_item -> 'refunds', 'null'), '[]')) AS f (refund_id text, amount bigint)
        WHERE v_payment.id IS NOT NULL
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- The seats of a copy, each with "here": its id in this database, null: it is not here. A seat that was added again has another
-- id than the lost one, and is found by its name; one that the sale has here already is that one, whatever its name.
CREATE OR REPLACE FUNCTION sale_seats(v_sale reservations, p_seats jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(s || jsonb_build_object('here', coalesce(
        (SELECT n.id FROM seats n
         WHERE n.id = (s ->> 'id')::bigint AND n.event_id = v_sale.event_id
           AND ((n.section, n.row, n.number) = (s ->> 'section', s ->> 'row', (s ->> 'number')::integer)
                OR EXISTS (SELECT FROM reservation_seats rs WHERE rs.reservation_id = v_sale.id AND rs.seat_id = n.id))),
        (SELECT n.id FROM seats n
         WHERE n.event_id = v_sale.event_id AND n.section = s ->> 'section' AND n.row = s ->> 'row'
           AND n.number = (s ->> 'number')::integer)))), '[]')
    FROM jsonb_array_elements(coalesce(nullif(p_seats, 'null'), '[]')) AS s
$$;

-- Puts one copy back. Returns what was found:
--   same        it is here in this version or a newer one; nothing was changed
--   missing     the sale was not here
--   older       it was here in an earlier state: not paid yet, not refunded yet
--   conflict    one of its seats has been sold again: the sale is recorded as cancelled, and its money as due back
--   seat-gone   one of its seats is not here: nothing was changed. When it has been added, the sale can be put back
CREATE OR REPLACE FUNCTION sale_restore(p_sale jsonb, p_now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_sale reservations := jsonb_populate_record(NULL::reservations, p_sale -> 'reservation');
    v_own reservations;
    v_list jsonb;
    v_seats bigint[];
    v_gone bigint[];
    v_found text;
    v_due boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key_buyer(v_sale.event_id, v_sale.buyer));
    SELECT * INTO v_own FROM reservations WHERE id = v_sale.id FOR UPDATE;
    IF v_own.sale_version >= v_sale.sale_version THEN
        RETURN 'same';
    END IF;
    v_list := sale_seats(v_sale, p_sale -> 'seats');
    v_seats := ARRAY(SELECT (s ->> 'here')::bigint FROM jsonb_array_elements(v_list) AS s
                     WHERE (s ->> 'live')::boolean ORDER BY 1);
    IF array_position(v_seats, NULL) IS NOT NULL THEN
        RETURN 'seat-gone';
    END IF;
    PERFORM sale_clear_seats(v_sale.event_id, v_sale.id, v_seats, p_now);
    v_due := EXISTS (SELECT FROM seats WHERE id = ANY (v_seats) AND status = 'sold' AND holder <> v_sale.id);
    v_found := CASE WHEN v_due THEN 'conflict' WHEN v_own.id IS NULL THEN 'missing' ELSE 'older' END;

    -- What it has here and, by its copy, no longer has.
    IF v_own.status = 'held' THEN
        PERFORM seats_release(ARRAY[v_own.id]);
    END IF;
    v_gone := ARRAY(SELECT seat_id FROM reservation_seats
                    WHERE reservation_id = v_sale.id AND live AND (v_due OR seat_id <> ALL (v_seats)));
    IF v_gone <> '{}' THEN
        PERFORM seats_unsell(v_sale.id, v_gone, NULL);
    END IF;
    INSERT INTO reservations AS r (id, number, event_id, buyer, status, place, epoch, admission, seat_count, total, returned,
                                   currency, created_at, expires_at, ended_at, swept, slot_freed, language, eticket_salt,
                                   sale_version)
    VALUES (v_sale.id,
            CASE WHEN EXISTS (SELECT FROM reservations WHERE number = v_sale.number AND id <> v_sale.id)
                 THEN reservation_code(nextval('reservation_number')) ELSE v_sale.number END,
            v_sale.event_id, v_sale.buyer, CASE WHEN v_due THEN 'cancelled' ELSE v_sale.status END, v_sale.place,
            v_sale.epoch, v_sale.admission, v_sale.seat_count, v_sale.total, v_sale.returned, v_sale.currency,
            v_sale.created_at, v_sale.expires_at, v_sale.ended_at, true, v_sale.slot_freed, v_sale.language,
            v_sale.eticket_salt, v_sale.sale_version)
    ON CONFLICT (id) DO UPDATE
        SET status = excluded.status, seat_count = excluded.seat_count, returned = excluded.returned,
            ended_at = excluded.ended_at, swept = true, eticket_salt = excluded.eticket_salt,
            sale_version = excluded.sale_version;

    IF NOT v_due AND v_seats <> '{}' THEN
        UPDATE seats SET status = 'available', block_reason = NULL, version = version + 1
        WHERE id = ANY (v_seats) AND status = 'blocked';
        PERFORM seats_take(v_sale.event_id, v_seats, array_fill(v_sale.id, ARRAY[cardinality(v_seats)]), NULL, p_now);
    END IF;
    INSERT INTO reservation_seats AS rs (reservation_id, event_id, seat_id, live, price, refunded_at)
    SELECT v_sale.id, v_sale.event_id, coalesce(s.here, s.id), false, s.price, s.refunded_at
    FROM jsonb_to_recordset(v_list) AS s (id bigint, here bigint, price bigint, refunded_at timestamptz)
    ON CONFLICT (reservation_id, seat_id) DO UPDATE SET price = excluded.price, refunded_at = excluded.refunded_at;
    PERFORM sale_restore_payments(v_sale.event_id, v_sale.id, p_sale -> 'payments', v_due);
    INSERT INTO etickets (hash, reservation_id)
    SELECT decode(h, 'hex'), v_sale.id
    FROM jsonb_array_elements_text(coalesce(nullif(p_sale -> 'etickets', 'null'), '[]')) AS h
    ON CONFLICT DO NOTHING;
    RETURN v_found;
END $$;

-- Puts back copies that are newer than what is here: refunds first, since their seats may have been sold again. Without
-- p_apply the same is done, and all of it is undone: so what is told is what would happen.
-- compared: {"differences": [{"what", "number", "buyer", "status", "seats", "total", "currency", "references"}]}
CREATE OR REPLACE FUNCTION sales_reconcile(p_sales jsonb, p_apply boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_sale jsonb;
    v_what text;
    v_list jsonb := '[]';
BEGIN
    BEGIN
        FOR v_sale IN SELECT s FROM jsonb_array_elements(p_sales) AS s
                      ORDER BY (s -> 'reservation' ->> 'status' = 'confirmed'), s -> 'reservation' ->> 'ended_at' LOOP
            v_what := sale_restore(v_sale, v_now);
            CONTINUE WHEN v_what = 'same';
            v_list := v_list || jsonb_build_object(
                'what', v_what, 'number', v_sale -> 'reservation' -> 'number', 'buyer', v_sale -> 'reservation' -> 'buyer',
                'status', v_sale -> 'reservation' -> 'status', 'total', v_sale -> 'reservation' -> 'total',
                'currency', v_sale -> 'reservation' -> 'currency',
                'seats', (SELECT string_agg(concat_ws(' ', s ->> 'section', s ->> 'row', s ->> 'number'), ', ')
                          FROM jsonb_array_elements(coalesce(nullif(v_sale -> 'seats', 'null'), '[]')) AS s),
                'references', (SELECT string_agg(p ->> 'reference', ', ')
                               FROM jsonb_array_elements(coalesce(nullif(v_sale -> 'payments', 'null'), '[]')) AS p));
        END LOOP;
        IF p_apply AND v_list <> '[]' THEN
            INSERT INTO audit (event_id, who, verb, after)
            SELECT e.id, 'tiketi', 'reconcile', jsonb_build_object('sales', e.n)
            FROM (SELECT s -> 'reservation' ->> 'event_id' AS id, count(*) AS n
                  FROM jsonb_array_elements(p_sales) AS s GROUP BY 1) AS e;
        ELSIF NOT p_apply THEN
            RAISE EXCEPTION USING ERRCODE = 'TK001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TK001' THEN
        NULL; -- undone
    END;
    RETURN QUERY SELECT 'compared', json_build_object('differences', v_list);
END $$;

-- Numbers that the lost transactions have given away are never given again: of reservations, which buyers have in their
-- mails, of seats, which copies name, and of the feeds. The lost ones are fewer than the gap.
-- begun
CREATE OR REPLACE FUNCTION reconcile_begin() RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_gap constant bigint := 10000000;
BEGIN
    PERFORM setval('reservation_number', (SELECT last_value FROM reservation_number) + v_gap);
    PERFORM setval(pg_get_serial_sequence('seats', 'id'), nextval(pg_get_serial_sequence('seats', 'id')) + v_gap);
    PERFORM feed_skip(NULL);
    RETURN QUERY SELECT 'begun', json_build_object('gap', v_gap);
END $$;

-- Compares an event's record with its live copy p_live, in the form for staff. If the record is of an earlier version or
-- epoch, p_apply brings it to what is in force.
--   same        or the record is newer
--   older       {"version", "liveVersion", "epoch", "liveEpoch", "changes": [{"field", "from", "to"}]}
--   not-found   there is no record
CREATE OR REPLACE FUNCTION event_reconcile(p_live jsonb, p_version bigint, p_epoch bigint, p_apply boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_live ->> 'id' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', json_build_object('id', p_live -> 'id');
        RETURN;
    ELSIF v_event.version >= p_version AND v_event.epoch >= p_epoch THEN
        RETURN QUERY SELECT 'same', json_build_object('id', v_event.id);
        RETURN;
    END IF;
    outcome := 'older';
    body := json_build_object(
        'id', v_event.id, 'version', v_event.version, 'liveVersion', p_version, 'epoch', v_event.epoch,
        'liveEpoch', p_epoch, 'changes', audit_changes(event_staff(v_event) - ARRAY['owner', 'branding', 'seats'],
                                                       p_live - ARRAY['owner', 'branding', 'seats']));
    IF p_apply THEN
        UPDATE events SET version = greatest(version, p_version), epoch = greatest(epoch, p_epoch)
        WHERE id = v_event.id RETURNING * INTO v_event;
        PERFORM event_update(p_live || jsonb_build_object('version', v_event.version), 'reconcile', 'tiketi');
    END IF;
    RETURN NEXT;
END $$;

-- Compares the books of the payment provider with the payments, and (p_apply) records what they lack, as the provider's
-- report would have. p_charges: [{"reference", "reservationId", "provider", "amount", "currency", "status": paid | refunded}].
-- Without p_apply all is undone, as in sales_reconcile. The differences:
--   sold                  charged, and not recorded: the seats are the buyer's now
--   due-back              charged, and not recorded: the seats are gone, the money must be returned
--   refunded              returned, and not recorded
--   unknown-reservation   charged for a reservation that is not here: the money must be returned, or the seats found by hand
--   wrong-amount          another amount or currency than the reservation's
--   not-returned          here it is refunded, in the books it is not
--   not-in-books          paid here, and not in the books
-- compared: {"charges", "differences": [{"what", "reference", "reservation", "amount", "currency"}]}
CREATE OR REPLACE FUNCTION books_reconcile(p_charges jsonb, p_apply boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_charge record;
    v_status text;
    v_what text;
    v_list jsonb := '[]';
BEGIN
    BEGIN
        FOR v_charge IN
            SELECT c.*, p.status AS recorded, p.amount AS paid, p.currency AS paid_in, r.number
            FROM jsonb_to_recordset(p_charges) AS c (reference text, "reservationId" text, provider text, amount bigint,
                                                     currency text, status text)
            LEFT JOIN LATERAL (SELECT * FROM payments n WHERE n.provider = c.provider AND n.reference = c.reference
                               OFFSET 0) AS p ON true
            LEFT JOIN LATERAL (SELECT * FROM reservations n WHERE n.id = as_uuid(c."reservationId") OFFSET 0) AS r ON true
        LOOP
            v_what := NULL;
            IF (v_charge.recorded IS NOT DISTINCT FROM v_charge.status
                OR (v_charge.recorded = 'refund_due' AND v_charge.status = 'paid'))
               AND (v_charge.paid, v_charge.paid_in) = (v_charge.amount, v_charge.currency) THEN
                CONTINUE;
            ELSIF v_charge.number IS NULL THEN
                CONTINUE WHEN v_charge.status = 'refunded';
                v_what := 'unknown-reservation';
            ELSIF v_charge.recorded = 'refunded' THEN
                v_what := 'not-returned';
            ELSE
                SELECT d.outcome INTO v_status FROM payment_report(v_charge."reservationId", v_charge.provider,
                    v_charge.reference, v_charge.amount, v_charge.currency, v_charge.status) AS d;
                v_what := CASE v_status WHEN 'confirmed' THEN 'sold' WHEN 'refund-due' THEN 'due-back' ELSE v_status END;
            END IF;
            v_list := v_list || jsonb_build_object('what', v_what, 'reference', v_charge.reference, 'reservation',
                coalesce(v_charge.number, v_charge."reservationId"), 'amount', v_charge.amount, 'currency', v_charge.currency);
        END LOOP;
        v_list := v_list || coalesce((
            SELECT jsonb_agg(jsonb_build_object('what', 'not-in-books', 'reference', p.reference, 'reservation', r.number,
                                                'amount', p.amount, 'currency', p.currency) ORDER BY p.id)
            FROM payments p JOIN reservations r ON r.id = p.reservation_id
            WHERE p.status IN ('paid', 'refund_due')
              AND p.provider IN (SELECT c ->> 'provider' FROM jsonb_array_elements(p_charges) AS c)
              AND (p.provider, p.reference) NOT IN (SELECT c ->> 'provider', c ->> 'reference'
                                                    FROM jsonb_array_elements(p_charges) AS c)), '[]');
        IF NOT p_apply THEN
            RAISE EXCEPTION USING ERRCODE = 'TK001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TK001' THEN
        NULL; -- undone
    END;
    RETURN QUERY SELECT 'compared', json_build_object('charges', jsonb_array_length(p_charges), 'differences', v_list);
END $$;
