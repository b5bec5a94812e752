-- SPDX-License-Identifier: MIT
--
-- eticket: links to bought tickets. A reservation may have several: that of a message, which eticket_new makes, and
-- those of the buyer's own pages (eticket_link). Each lasts as long as the reservation, whatever becomes of the
-- program's keys or the buyer's cookies, because it is looked up by the hash of its token.

CREATE OR REPLACE FUNCTION eticket_hash(p_token text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(p_token, 'UTF8'))
$$;

-- 32 bytes as base64url: 43 characters.
CREATE OR REPLACE FUNCTION eticket_text(p_bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT rtrim(translate(encode(p_bytes, 'base64'), '+/', '-_'), '=')
$$;

-- Makes a new link to this reservation, and returns its token, which is stored nowhere else: for a message that is
-- written in the transaction that sells the seats.
CREATE OR REPLACE FUNCTION eticket_new(p_reservation uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_token text := eticket_text(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
BEGIN
    INSERT INTO etickets (hash, reservation_id) VALUES (eticket_hash(v_token), p_reservation);
    RETURN v_token;
END $$;

-- A reservation of this event, and the token of its link if it was bought. The token is the same at each call with the
-- same key. p_proven: the caller has seen a proof, so that anyone may see it; else only its buyer.
-- found: the reservation, with "own" (p_buyer is its buyer), "paying" (a payment was begun and has not failed) and
--        "token" (null: not bought) | not-found | not-yours
CREATE OR REPLACE FUNCTION eticket_link(p_buyer text, p_proven boolean, p_event text, p_id text, p_key text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_token text;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE id = as_uuid(p_id) AND event_id = p_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.');
        RETURN;
    ELSIF NOT p_proven AND v_r.buyer <> p_buyer THEN
        RETURN QUERY SELECT 'not-yours', refusal('This is not your reservation.');
        RETURN;
    END IF;
    IF v_r.status IN ('confirmed', 'refunded') THEN
        IF v_r.eticket_salt IS NULL THEN
            UPDATE reservations SET eticket_salt = coalesce(eticket_salt, gen_random_uuid())
            WHERE id = v_r.id RETURNING * INTO v_r;
        END IF;
        v_token := eticket_text(sha256(convert_to(p_key || '.' || v_r.eticket_salt, 'UTF8')));
        INSERT INTO etickets (hash, reservation_id) VALUES (eticket_hash(v_token), v_r.id)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY SELECT 'found', json_join(reservation_json(v_r), json_build_object(
        'own', v_r.buyer = p_buyer,
        'paying', EXISTS (SELECT FROM payments WHERE reservation_id = v_r.id AND status <> 'failed'),
        'token', v_token));
END $$;

-- found: the reservation that this link leads to | not-found
CREATE OR REPLACE FUNCTION eticket_get(p_token text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
BEGIN
    SELECT r.* INTO v_r FROM etickets t JOIN reservations r ON r.id = t.reservation_id
    WHERE t.hash = eticket_hash(p_token);
    IF FOUND THEN
        RETURN QUERY SELECT 'found', reservation_json(v_r);
    ELSE
        RETURN QUERY SELECT 'not-found', refusal('There is no such ticket.');
    END IF;
END $$;
