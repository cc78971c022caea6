SET lock_timeout = '2s';
BEGIN;
LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE;
CREATE TABLE orders_new AS
SELECT id::bigint AS id, customer_id, status, amount, note, placed_at FROM orders;
ALTER TABLE orders_new ADD CONSTRAINT orders_new_pkey PRIMARY KEY (id);
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey;
ALTER TABLE orders RENAME TO orders_old;
ALTER TABLE orders_new RENAME TO orders;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO shop_app;
COMMIT;
