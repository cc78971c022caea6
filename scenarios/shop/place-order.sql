-- What the shop's application does when somebody buys something.
BEGIN;
INSERT INTO orders (customer_id, amount, note) VALUES (${customers.id}, 19.99, 'for ' || ${customers.name});
INSERT INTO order_lines (order_id, product) VALUES (currval('orders_id_seq'), ${order_lines.product});
COMMIT;
SELECT status, note FROM orders WHERE id = ${orders.id};
