-- What lies in a warehouse: counts beside counts, all of one type.
CREATE TABLE stock (
    item_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    in_stock INT NOT NULL,
    reserved INT NOT NULL,
    sold INT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO stock (in_stock, reserved, sold) VALUES (100, 1, 2), (200, 3, 4), (300, 5, 6), (400, 7, 8), (500, 9, 10);
