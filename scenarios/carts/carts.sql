-- A shop's carts and who they belong to, in the language that MySQL and MariaDB share.
CREATE TABLE users (
    user_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(100) NOT NULL,
    UNIQUE KEY by_email (email)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE carts (
    cart_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id INT NOT NULL,
    status TINYINT NOT NULL DEFAULT 0,
    amount DECIMAL(10, 2) NOT NULL DEFAULT 0.00,
    note VARCHAR(200),
    changed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    KEY by_user (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE digits (d INT NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
INSERT INTO users (email)
    SELECT CONCAT('user', a.d * 100 + b.d * 10 + c.d, '@example.org') FROM digits a, digits b, digits c;
INSERT INTO carts (user_id, status, amount, note)
    SELECT 1 + (a.d * 100 + b.d * 10 + c.d), a.d % 3, b.d * 10 + c.d + 0.5, CONCAT('cart ', d.d, ' of ', e.d)
    FROM digits a, digits b, digits c, digits d, digits e WHERE e.d < 2;
DROP TABLE digits;
