//! One change of each kind, and what a comparison must say of it.

/// SQL, and the lines that tell what it changed.
pub type Case = (&'static str, &'static [&'static str]);

/// Each is made alone in a copy of `fixtures/diff/everything.sql`.
pub const CHANGES: &[Case] = &[
    ("CREATE SCHEMA other", &["+ schema other: AUTHORIZATION postgres"]),
    ("COMMENT ON SCHEMA sales IS 'sold'", &["~ schema sales: comment what was sold -> sold"]),
    ("GRANT CREATE ON SCHEMA sales TO diff_app", &["+ privilege CREATE ON SCHEMA sales TO diff_app"]),
    ("CREATE TABLE fresh (id serial PRIMARY KEY, n int REFERENCES orders)", &["+ table fresh"]),
    ("DROP TABLE sales.lines", &["- table sales.lines"]),
    ("DROP TABLE events", &["- table events: PARTITION BY RANGE (at)"]),
    ("ALTER TABLE log RENAME TO lines", &["+ table lines", "- table log"]),
    (
        "DROP TABLE scratch; CREATE VIEW scratch AS SELECT 1 AS id",
        &[
            "~ view scratch: kind table -> view",
            "~ view scratch: definition none -> SELECT 1 AS id;",
            "~ view scratch: persistence unlogged -> permanent",
            "- constraint scratch_pkey on scratch: PRIMARY KEY (id)",
        ],
    ),
    ("ALTER TABLE orders SET (fillfactor = 70)", &["~ table orders: options fillfactor=80 -> fillfactor=70"]),
    (
        "ALTER TABLE orders REPLICA IDENTITY FULL",
        &["~ table orders: options fillfactor=80 -> fillfactor=80, replica identity full"],
    ),
    ("ALTER TABLE scratch SET LOGGED", &["~ table scratch: persistence unlogged -> permanent"]),
    ("ALTER TABLE log OWNER TO diff_app", &["~ table log: owner postgres -> diff_app"]),
    ("COMMENT ON TABLE orders IS NULL", &["~ table orders: comment all orders -> none"]),
    ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", &["~ table orders: row security enabled -> none"]),
    (
        "ALTER TABLE events DETACH PARTITION events_2023",
        &[
            "~ table events_2023: partition PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') -> none",
            "~ events: 700 -> 336 rows, 364 removed; matched by primary key",
        ],
    ),
    (
        "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        &["+ table events_2025: PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"],
    ),
    (
        "ALTER TABLE orders ADD COLUMN more integer NOT NULL DEFAULT 5",
        &["+ column orders.more: integer DEFAULT 5 NOT NULL"],
    ),
    ("ALTER TABLE orders DROP COLUMN host", &["- column orders.host: inet"]),
    ("ALTER TABLE events ADD COLUMN who text", &["+ column events.who: text"]),
    ("ALTER TABLE events ALTER COLUMN what SET DEFAULT 'x'", &["~ column events.what: default none -> 'x'::text"]),
    (
        "ALTER TABLE events_2023 ALTER COLUMN what SET DEFAULT 'x'",
        &["~ column events_2023.what: default none -> 'x'::text"],
    ),
    ("ALTER TABLE base ALTER COLUMN id TYPE bigint", &["~ column base.id: type integer -> bigint"]),
    (
        "ALTER TABLE orders ALTER COLUMN id DROP DEFAULT",
        &["~ column orders.id: default nextval('orders_id_seq'::regclass) -> none"],
    ),
    ("ALTER TABLE orders ALTER COLUMN at DROP NOT NULL", &["~ column orders.at: nullability NOT NULL -> NULL"]),
    (
        "ALTER TABLE sales.lines ALTER COLUMN article SET GENERATED ALWAYS",
        &["~ column sales.lines.article: identity by default -> always"],
    ),
    (
        "ALTER TABLE sales.lines ALTER COLUMN article DROP IDENTITY",
        &["~ column sales.lines.article: identity by default -> none"],
    ),
    (
        "ALTER TABLE orders ALTER COLUMN doubled DROP EXPRESSION",
        &["~ column orders.doubled: generated ((total)::numeric * (2)::numeric) STORED -> none"],
    ),
    (
        "ALTER TABLE sales.lines ALTER COLUMN label TYPE varchar(40)",
        &["~ column sales.lines.label: collation sales.german -> none"],
    ),
    (
        "ALTER TABLE orders ALTER COLUMN raw SET STORAGE MAIN",
        &["~ column orders.raw: options storage external -> storage main"],
    ),
    (
        "ALTER TABLE orders ALTER COLUMN region SET STATISTICS -1",
        &["~ column orders.region: options statistics 500 -> none"],
    ),
    ("COMMENT ON COLUMN orders.total IS 'with tax'", &["~ column orders.total: comment without tax -> with tax"]),
    (
        "CREATE TABLE b (note text, id integer); INSERT INTO b SELECT note, id FROM ONLY base; DROP TABLE base CASCADE; \
         ALTER TABLE b RENAME TO base",
        &[
            "~ column base.id: position 1 -> 2",
            "~ column base.note: position 2 -> 1",
            "- table derived: INHERITS (base)",
        ],
    ),
    (
        "ALTER TABLE regions DROP CONSTRAINT regions_name_key",
        &["- constraint regions_name_key on regions: UNIQUE (name)"],
    ),
    (
        "ALTER TABLE orders VALIDATE CONSTRAINT feeling_known",
        &["~ constraint feeling_known on orders: validity not valid -> valid"],
    ),
    (
        "ALTER TABLE orders RENAME CONSTRAINT total_sane TO total_small",
        &[
            "- constraint total_sane on orders: CHECK (((total)::numeric < (1000000)::numeric))",
            "+ constraint total_small on orders: CHECK (((total)::numeric < (1000000)::numeric))",
        ],
    ),
    (
        "ALTER TABLE sales.lines DROP CONSTRAINT lines_order_id_fkey",
        &["- constraint lines_order_id_fkey on sales.lines: FOREIGN KEY (order_id) REFERENCES orders(id)"],
    ),
    ("ALTER TABLE events ADD CHECK (id > 0)", &["+ constraint events_id_check on events: CHECK ((id > 0))"]),
    (
        "DROP INDEX orders_tags_idx",
        &["- index orders_tags_idx on orders: CREATE INDEX ON public.orders USING gin (tags)"],
    ),
    (
        "CREATE INDEX events_at_idx ON events (at)",
        &["+ index events_at_idx on events: CREATE INDEX ON ONLY public.events USING btree (at)"],
    ),
    (
        "ALTER INDEX orders_tags_idx RENAME TO by_tag",
        &[
            "+ index by_tag on orders: CREATE INDEX ON public.orders USING gin (tags)",
            "- index orders_tags_idx on orders: CREATE INDEX ON public.orders USING gin (tags)",
        ],
    ),
    (
        "DROP INDEX orders_tags_idx; CREATE INDEX orders_tags_idx ON orders USING btree (tags)",
        &["~ index orders_tags_idx on orders: definition CREATE INDEX ON public.orders USING gin (tags) -> \
             CREATE INDEX ON public.orders USING btree (tags)"],
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_tags_idx'::regclass",
        &["~ index orders_tags_idx on orders: validity valid -> not valid"],
    ),
    (
        "CREATE UNIQUE INDEX u ON base (id); ALTER TABLE base ADD CONSTRAINT u UNIQUE USING INDEX u",
        &["+ constraint u on base: UNIQUE (id)"],
    ),
    (
        "ALTER SEQUENCE tickets NO CYCLE",
        &["~ sequence tickets: options start 7, increment 3, minimum 1, maximum 700, cache 4, cycle -> \
             start 7, increment 3, minimum 1, maximum 700, cache 4, no cycle"],
    ),
    ("ALTER SEQUENCE tickets OWNED BY NONE", &["~ sequence tickets: owned by orders.total -> none"]),
    ("ALTER SEQUENCE tickets AS integer", &["~ sequence tickets: type smallint -> integer"]),
    (
        "DROP SEQUENCE tickets; SELECT setval('orders_id_seq', 5000)",
        &["- sequence tickets: AS smallint, start 7, increment 3, minimum 1, maximum 700, cache 4, cycle"],
    ),
    ("SELECT nextval('tickets'), setval('orders_id_seq', 5000)", &[]),
    (
        "CREATE OR REPLACE VIEW happy AS SELECT o.id, o.total, r.name FROM orders o JOIN regions r ON r.code = o.region",
        &[
            "~ view happy: definition SELECT o.id, o.total, r.name FROM (orders o JOIN regions r ON ((r.code = o.region))) \
             WHERE (o.feeling = 'happy'::mood); -> \
             SELECT o.id, o.total, r.name FROM (orders o JOIN regions r ON ((r.code = o.region)));",
        ],
    ),
    ("DROP MATERIALIZED VIEW later", &["- view later: materialized view SELECT 1 AS one;"]),
    (
        "DROP FUNCTION taxed(integer)",
        &[
            "- function taxed(integer): CREATE OR REPLACE FUNCTION public.taxed(amount integer) RETURNS integer LANGUAGE sql AS \
           $function$SELECT amount$function$",
        ],
    ),
    (
        "CREATE OR REPLACE FUNCTION taxed(amount integer) RETURNS integer LANGUAGE sql AS 'SELECT amount + 1'",
        &[
            "~ function taxed(integer): definition CREATE OR REPLACE FUNCTION public.taxed(amount integer) RETURNS integer \
           LANGUAGE sql AS $function$SELECT amount$function$ -> CREATE OR REPLACE FUNCTION public.taxed(amount integer) \
           RETURNS integer LANGUAGE sql AS $function$SELECT amount + 1$function$",
        ],
    ),
    (
        "DROP AGGREGATE multiply(numeric); CREATE AGGREGATE multiply(numeric) (SFUNC = numeric_mul, STYPE = numeric)",
        &["~ function multiply(numeric): definition AGGREGATE (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1', \
           FINALFUNC_MODIFY = r, KIND = n, PARALLEL = u) -> AGGREGATE (SFUNC = numeric_mul, STYPE = numeric, \
           FINALFUNC_MODIFY = r, KIND = n, PARALLEL = u)"],
    ),
    (
        "DROP TRIGGER orders_touch ON orders",
        &["- trigger orders_touch on orders: CREATE TRIGGER orders_touch BEFORE UPDATE ON public.orders FOR EACH ROW \
           EXECUTE FUNCTION touch()"],
    ),
    (
        "ALTER TABLE orders DISABLE TRIGGER orders_touch",
        &["~ trigger orders_touch on orders: enabled origin -> disabled"],
    ),
    (
        "DROP TRIGGER events_touch ON events",
        &["- trigger events_touch on events: CREATE TRIGGER events_touch AFTER INSERT ON public.events FOR EACH ROW \
           EXECUTE FUNCTION touch()"],
    ),
    (
        "ALTER TYPE mood ADD VALUE 'great'",
        &["~ type mood: definition ENUM ('sad', 'ok', 'happy') -> ENUM ('sad', 'ok', 'happy', 'great')"],
    ),
    (
        "ALTER DOMAIN email DROP CONSTRAINT has_at",
        &[
            "~ type email: definition DOMAIN AS text COLLATE \"C\" DEFAULT 'nobody@example.org'::text NOT NULL CONSTRAINT \
           has_at CHECK ((VALUE ~~ '%@%'::text)) -> DOMAIN AS text COLLATE \"C\" DEFAULT 'nobody@example.org'::text NOT NULL",
        ],
    ),
    (
        "ALTER TYPE address RENAME ATTRIBUTE zip TO code",
        &["~ type address: definition COMPOSITE (street text, zip character varying(10)) -> \
           COMPOSITE (street text, code character varying(10))"],
    ),
    ("DROP EXTENSION pg_trgm", &["- extension pg_trgm: VERSION 1.6 SCHEMA public"]),
    ("DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm VERSION '1.5'", &["~ extension pg_trgm: version 1.6 -> 1.5"]),
    ("REVOKE INSERT ON orders FROM diff_app", &["- privilege INSERT ON orders TO diff_app"]),
    (
        "GRANT SELECT ON orders TO diff_app WITH GRANT OPTION",
        &["~ privilege SELECT ON orders TO diff_app: options none -> WITH GRANT OPTION"],
    ),
    ("REVOKE SELECT (region) ON orders FROM diff_reader", &["- privilege SELECT (region) ON orders TO diff_reader"]),
    ("GRANT EXECUTE ON FUNCTION touch() TO PUBLIC", &["+ privilege EXECUTE ON FUNCTION touch() TO PUBLIC"]),
    ("GRANT USAGE ON TYPE mood TO diff_app", &["+ privilege USAGE ON TYPE mood TO diff_app"]),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA sales REVOKE SELECT ON TABLES FROM diff_reader",
        &["- privilege SELECT ON FUTURE TABLES IN SCHEMA sales BY postgres TO diff_reader"],
    ),
    (
        "ALTER POLICY own_region ON orders USING (region = 'FR')",
        &[
            "~ policy own_region on orders: definition PERMISSIVE FOR SELECT TO diff_app USING ((region = 'DE'::bpchar)) -> \
           PERMISSIVE FOR SELECT TO diff_app USING ((region = 'FR'::bpchar))",
        ],
    ),
    (
        "DROP RULE log_no_delete ON log",
        &["- rule log_no_delete on log: CREATE RULE log_no_delete AS ON DELETE TO public.log DO INSTEAD NOTHING;"],
    ),
    (
        "DROP STATISTICS orders_stats",
        &[
            "- statistics orders_stats on orders: CREATE STATISTICS public.orders_stats (dependencies) ON region, feeling FROM \
           orders",
        ],
    ),
    ("ALTER EVENT TRIGGER watch DISABLE", &["~ event trigger watch: enabled origin -> disabled"]),
    (
        "ALTER PUBLICATION feed DROP TABLE regions",
        &["~ publication feed: definition FOR TABLE orders, regions PUBLISH insert, update -> \
           FOR TABLE orders PUBLISH insert, update"],
    ),
    ("CREATE SCHEMA rehearsal; CREATE TABLE rehearsal.heartbeat (n int)", &[]),
    (
        "UPDATE orders SET total = total + 1, details = '{}' WHERE id <= 3",
        &["~ orders: 400 rows, 3 changed (details in 3, doubled in 3, total in 3); matched by primary key"],
    ),
    (
        "UPDATE orders SET extra = NULL WHERE id = 7",
        &["~ orders: 400 rows, 1 changed (extra in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET details = '{\"b\": 1, \"a\": [1.0, 2]}' WHERE id = 7",
        &["~ orders: 400 rows, 1 changed (details in 1); matched by primary key"],
    ),
    ("INSERT INTO regions VALUES ('IT', 'Italy')", &["~ regions: 3 -> 4 rows, 1 added; matched by primary key"]),
    (
        "DELETE FROM sales.lines WHERE order_id = 1",
        &["~ sales.lines: 150 -> 147 rows, 3 removed; matched by primary key"],
    ),
    (
        "UPDATE events SET what = 'other' WHERE id BETWEEN 360 AND 369",
        &["~ events: 700 rows, 10 changed (what in 10); matched by primary key"],
    ),
    (
        "UPDATE \"Mixed Case\" SET \"select\" = NULL WHERE \"Id\" = 2",
        &["~ \"Mixed Case\": 2 rows, 1 changed (select in 1); matched by primary key"],
    ),
    (
        "INSERT INTO log VALUES ('line 1'), ('new'); \
         UPDATE log SET line = 'line 2' WHERE ctid = (SELECT min(ctid) FROM log WHERE line = 'line 3')",
        &["~ log: 100 -> 102 rows, 3 added, 1 removed; matched by all columns"],
    ),
    ("UPDATE derived SET note = 'x' WHERE id = 3", &["~ derived: 10 rows, 1 added, 1 removed; matched by all columns"]),
    ("TRUNCATE \"Mixed Case\"", &["~ \"Mixed Case\": 2 -> 0 rows, 2 removed; matched by primary key"]),
    ("INSERT INTO nothing DEFAULT VALUES", &["~ nothing: 0 -> 1 rows, 1 added; matched by all columns"]),
    (
        "ALTER TABLE \"Mixed Case\" DROP CONSTRAINT \"Mixed Case_pkey\"; INSERT INTO \"Mixed Case\" VALUES (2, 'twice')",
        &[
            "- constraint Mixed Case_pkey on \"Mixed Case\": PRIMARY KEY (\"Id\")",
            "~ \"Mixed Case\": 2 -> 3 rows, 1 added; matched by primary key",
        ],
    ),
    (
        "INSERT INTO orders (region) VALUES ('DE'); REFRESH MATERIALIZED VIEW totals",
        &[
            "~ orders: 400 -> 401 rows, 1 added; matched by primary key",
            "~ totals: 2 -> 3 rows, 1 added; matched by unique index totals_region",
        ],
    ),
    (
        "CREATE TABLE o AS TABLE sales.lines; DROP TABLE sales.lines; ALTER TABLE o SET SCHEMA sales; \
         ALTER TABLE sales.o RENAME TO lines",
        &[
            "~ column sales.lines.article: identity by default -> none",
            "~ column sales.lines.article: nullability NOT NULL -> NULL",
            "~ column sales.lines.line: nullability NOT NULL -> NULL",
            "~ column sales.lines.order_id: nullability NOT NULL -> NULL",
            "- constraint lines_int4range_int4range1_excl on sales.lines: EXCLUDE USING gist (int4range(order_id, order_id, \
             '[]'::text) WITH =, int4range((line)::integer, (line)::integer, '[]'::text) WITH &&)",
            "- constraint lines_order_id_fkey on sales.lines: FOREIGN KEY (order_id) REFERENCES orders(id)",
            "- constraint lines_pkey on sales.lines: PRIMARY KEY (order_id, line)",
        ],
    ),
];
