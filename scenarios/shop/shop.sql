-- A small shop: customers, their orders, the lines of each order.
CREATE TABLE customers (
    id serial PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id serial PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'sent', 'cancelled')),
    amount numeric(10, 2) NOT NULL DEFAULT 0,
    note text,
    placed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_amount_not_negative CHECK (amount >= 0)
);
CREATE INDEX orders_customer_id ON orders (customer_id);
CREATE INDEX orders_placed_at ON orders (placed_at);

CREATE TABLE order_lines (
    id serial PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders ON DELETE CASCADE,
    product text NOT NULL,
    quantity integer NOT NULL DEFAULT 1 CHECK (quantity > 0)
);
CREATE INDEX order_lines_order_id ON order_lines (order_id);

CREATE FUNCTION order_note_trimmed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.note := btrim(NEW.note);
    RETURN NEW;
END
$$;
CREATE TRIGGER orders_note BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION order_note_trimmed();

INSERT INTO customers (email, name, joined_at)
SELECT 'customer' || n || '@shop.example', 'Customer ' || n, timestamptz '2024-01-01' + n * interval '1 hour'
FROM generate_series(1, 2000) AS n;

INSERT INTO orders (customer_id, status, amount, note, placed_at)
SELECT 1 + n % 2000, (ARRAY['new', 'paid', 'sent', 'cancelled'])[1 + n % 4], n % 500 + 0.99,
       CASE WHEN n % 3 = 0 THEN NULL ELSE 'leave order ' || n || ' with the neighbour' END,
       timestamptz '2025-01-01' + n * interval '1 minute'
FROM generate_series(1, 40000) AS n;

INSERT INTO order_lines (order_id, product, quantity)
SELECT 1 + n % 40000, 'product ' || n % 300, 1 + n % 5
FROM generate_series(1, 60000) AS n;

GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders, order_lines TO shop_app;
GRANT USAGE ON SEQUENCE customers_id_seq, orders_id_seq, order_lines_id_seq TO shop_app;
GRANT SELECT ON customers, orders, order_lines TO shop_reports;
