START TRANSACTION;
UPDATE products SET price = price + 0.01 WHERE id = ${products.id};
INSERT INTO feed (product_id) VALUES (${products.id});
COMMIT;
