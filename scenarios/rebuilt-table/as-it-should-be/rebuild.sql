SET lock_timeout = '2s';
BEGIN;
LOCK TABLE orders, order_lines IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE orders_new (LIKE orders INCLUDING ALL);
ALTER TABLE orders_new ALTER COLUMN id TYPE bigint;
INSERT INTO orders_new SELECT id, customer_id, status, amount, note, placed_at FROM orders;
ALTER TABLE orders_new ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers;
CREATE TRIGGER orders_note BEFORE INSERT OR UPDATE ON orders_new FOR EACH ROW EXECUTE FUNCTION order_note_trimmed();
GRANT SELECT, INSERT, UPDATE, DELETE ON orders_new TO shop_app;
GRANT SELECT ON orders_new TO shop_reports;

-- The sequence must leave the old table before that goes.
ALTER SEQUENCE orders_id_seq AS bigint OWNED BY orders_new.id;
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey;
DROP TABLE orders;

ALTER TABLE orders_new RENAME TO orders;
ALTER INDEX orders_new_pkey RENAME TO orders_pkey;
ALTER INDEX orders_new_customer_id_idx RENAME TO orders_customer_id;
ALTER INDEX orders_new_placed_at_idx RENAME TO orders_placed_at;
ALTER TABLE order_lines ALTER COLUMN order_id TYPE bigint;
ALTER TABLE order_lines ADD CONSTRAINT order_lines_order_id_fkey
    FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
COMMIT;
