SET lock_timeout = '1s';
ALTER TABLE orders ADD COLUMN token uuid, ADD COLUMN gross numeric(12, 2);
ALTER TABLE orders ALTER COLUMN token SET DEFAULT gen_random_uuid();
