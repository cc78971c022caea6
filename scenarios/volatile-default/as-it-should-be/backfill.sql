-- Each batch commits, so that no row stays locked for longer than its batch.
DO $$
DECLARE
    batch CONSTANT integer := 2000;
    from_id integer := 0;
    last_id integer := (SELECT max(id) FROM orders);
BEGIN
    WHILE from_id <= last_id LOOP
        UPDATE orders
        SET token = gen_random_uuid(), gross = round(amount * 1.19, 2)
        WHERE id > from_id AND id <= from_id + batch;
        COMMIT;
        from_id := from_id + batch;
    END LOOP;
END
$$;
