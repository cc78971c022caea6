SET lock_timeout = '1s';
BEGIN;
ALTER TABLE orders ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE orders ADD COLUMN gross numeric(12, 2);
UPDATE orders SET gross = round(amount * 1.19, 2);
COMMIT;
