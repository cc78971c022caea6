//! The SQL that reads a catalog, on 13 to 18 (chapter "System Catalogs" of the manual). Each query's columns are the fields of the
//! type its rows are read into.

/// Objects that users made have oids from here on (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16384;

/// Schemas that are compared, `pg_namespace` being `n`.
fn own_schemas() -> String {
    format!("left(n.nspname::text, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', '{}')", super::OWN_SCHEMA)
}

/// That an object came with no extension.
fn no_member(class: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = '{class}'::regclass AND m.objid = {oid} AND m.objsubid = 0 \
         AND m.deptype = 'e')"
    )
}

/// Who may do what, from an ACL and the default that a missing one stands for. Superusers are left out: they may do everything. So is
/// an owner's MAINTAIN, which 17 gave to every owner: it would show on each table of an upgrade.
fn grants(acl: &str, kind: char, owner: &str) -> String {
    format!(
        "(SELECT coalesce(json_agg(json_build_object('grantee', g.grantee, 'privilege', g.privilege_type, \
           'grantable', g.grantable) ORDER BY g.grantee, g.privilege_type), '[]') \
          FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS grantee, \
                  a.privilege_type, bool_or(a.is_grantable) AS grantable \
                FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
                WHERE r.rolsuper IS NOT TRUE AND NOT (a.privilege_type = 'MAINTAIN' AND a.grantee = {owner}) \
                GROUP BY 1, 2) g)"
    )
}

const ENABLED: &str =
    "CASE {} WHEN 'O' THEN 'origin' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'disabled' END";

fn enabled(column: &str) -> String {
    ENABLED.replace("{}", column)
}

pub(super) fn database() -> String {
    format!(
        "SELECT {} AS privileges FROM pg_database d WHERE d.datname = current_database()",
        grants("d.datacl", 'd', "d.datdba")
    )
}

pub(super) fn schemas() -> String {
    format!(
        "SELECT n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner, obj_description(n.oid, 'pg_namespace') AS comment, \
         {grants} AS privileges FROM pg_namespace n WHERE {own} AND {no_member}",
        grants = grants("n.nspacl", 'n', "n.nspowner"),
        own = own_schemas(),
        no_member = no_member("pg_namespace", "n.oid"),
    )
}

pub(super) fn relations() -> String {
    format!(
        "SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, \
           CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END AS persistence, \
           c.relispartition AS is_partition, \
           CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key, \
           pg_get_expr(c.relpartbound, c.oid) AS partition_bound, \
           ARRAY(SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) AS parents, \
           nullif(concat_ws(', ', array_to_string(c.reloptions, ', '), \
             (SELECT string_agg('toast.' || o, ', ') FROM unnest(t.reloptions) o), \
             CASE WHEN c.relkind IN ('r', 'p') THEN CASE c.relreplident WHEN 'n' THEN 'replica identity nothing' \
               WHEN 'f' THEN 'replica identity full' WHEN 'i' THEN 'replica identity index ' || \
                 (SELECT x.indexrelid::regclass::text FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident) END END, \
             CASE WHEN a.amname <> 'heap' THEN 'access method ' || a.amname END, 'tablespace ' || s.spcname, \
             'server ' || fs.srvname, array_to_string(f.ftoptions, ', ')), '') AS options, \
           CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'forced' WHEN c.relrowsecurity THEN 'enabled' END \
             AS row_security, \
           pg_get_userbyid(c.relowner) AS owner, obj_description(c.oid, 'pg_class') AS comment, \
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition, \
           c.relispopulated AS populated, c.reltuples AS estimated_rows, {grants} AS privileges \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_class t ON t.oid = c.reltoastrelid LEFT JOIN pg_am a ON a.oid = c.relam \
           LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid \
           LEFT JOIN pg_foreign_server fs ON fs.oid = f.ftserver \
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' AND {own} \
           AND ({no_member} OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))",
        grants = grants("c.relacl", 'r', "c.relowner"),
        own = own_schemas(),
        no_member = no_member("pg_class", "c.oid"),
    )
}

/// Of a column's options the two that users can set: 17 keeps `pg_attver` there as well, which differs on every server.
pub(super) fn columns(version: u32) -> String {
    format!(
        "SELECT a.attrelid::int8 AS relation, a.attname AS name, \
           row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS position, \
           format_type(a.atttypid, a.atttypmod) AS type, \
           CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default, \
           CASE WHEN NOT a.attnotnull THEN 'NULL' WHEN nn.convalidated IS FALSE THEN 'NOT NULL NOT VALID' \
             ELSE 'NOT NULL' END AS nullable, \
           CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity, \
           CASE a.attgenerated WHEN 's' THEN pg_get_expr(d.adbin, d.adrelid) || ' STORED' \
             WHEN 'v' THEN pg_get_expr(d.adbin, d.adrelid) || ' VIRTUAL' END AS generated, \
           CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation, \
           nullif(concat_ws(', ', (SELECT string_agg(o, ', ') FROM unnest(a.attoptions) o \
               WHERE split_part(o, '=', 1) IN ('n_distinct', 'n_distinct_inherited')), array_to_string(a.attfdwoptions, ', '), \
             CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || CASE a.attstorage WHEN 'p' THEN 'plain' \
               WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END, \
             CASE {compression} WHEN 'p' THEN 'compression pglz' WHEN 'l' THEN 'compression lz4' END, \
             CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END), '') AS options, \
           col_description(a.attrelid, a.attnum) AS comment, \
           a.attinhcount > 0 AND NOT a.attislocal AS inherited \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
           LEFT JOIN pg_constraint nn ON nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey = ARRAY[a.attnum] \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'm') AND c.oid >= {FIRST_USER_OID}",
        compression = if version >= 140_000 { "a.attcompression" } else { "NULL" },
    )
}

/// Column privileges, which stand beside those of the whole relation.
pub(super) fn column_grants() -> String {
    format!(
        "SELECT a.attrelid::int8 AS relation, a.attname AS name, {grants} AS privileges \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND c.oid >= {FIRST_USER_OID}",
        grants = grants("a.attacl", 'c', "c.relowner"),
    )
}

/// The definition prints NOT VALID at its end, which is told apart: so validating changes validity and nothing else.
pub(super) fn constraints() -> String {
    format!(
        "SELECT k.conrelid::int8 AS relation, k.conname AS name, \
           CASE WHEN NOT k.convalidated AND right(k.text, 10) = ' NOT VALID' THEN left(k.text, -10) ELSE k.text END \
             AS definition, \
           k.convalidated AND coalesce(x.indisvalid, true) AS valid, \
           obj_description(k.oid, 'pg_constraint') AS comment, \
           k.conparentid <> 0 OR (k.coninhcount > 0 AND NOT k.conislocal) AS inherited \
         FROM (SELECT con.*, pg_get_constraintdef(con.oid) AS text FROM pg_constraint con \
               WHERE con.contype IN ('p', 'u', 'x', 'c', 'f') AND con.conrelid >= {FIRST_USER_OID}) k \
           LEFT JOIN pg_index x ON x.indexrelid = k.conindid AND k.contype <> 'f'"
    )
}

/// The name is cut out of the definition, which begins `CREATE [UNIQUE] INDEX name ON `.
pub(super) fn indexes() -> String {
    format!(
        "SELECT x.indrelid::int8 AS relation, c.relname AS name, \
           'CREATE ' || u.word || 'INDEX ON ' || substr(pg_get_indexdef(x.indexrelid), \
             length('CREATE ' || u.word || 'INDEX ' || quote_ident(c.relname::text) || ' ON ') + 1) AS definition, \
           x.indisvalid AND x.indisready AS valid, x.indisunique AS unique, x.indisprimary AS primary, am.amname AS method, \
           CASE WHEN x.indpred IS NULL AND x.indexprs IS NULL AND x.indisunique THEN \
             ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY k (attnum, ord) \
                   JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum \
                   WHERE k.ord <= x.indnkeyatts ORDER BY k.ord) ELSE '{{}}' END AS columns, \
           (SELECT con.conname FROM pg_constraint con WHERE con.conindid = x.indexrelid AND con.contype IN ('p', 'u', 'x')) \
             AS constraint, \
           (SELECT 'tablespace ' || s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace) AS options, \
           obj_description(c.oid, 'pg_class') AS comment, \
           EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = x.indexrelid) AS inherited \
         FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am am ON am.oid = c.relam \
           CROSS JOIN LATERAL (SELECT CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS word) u \
         WHERE x.indrelid >= {FIRST_USER_OID}"
    )
}

pub(super) fn triggers() -> String {
    format!(
        "SELECT t.tgrelid::int8 AS relation, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, \
           {enabled} AS enabled, obj_description(t.oid, 'pg_trigger') AS comment, t.tgparentid <> 0 AS inherited \
         FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgrelid >= {FIRST_USER_OID}",
        enabled = enabled("t.tgenabled"),
    )
}

pub(super) fn rules() -> String {
    format!(
        "SELECT r.ev_class::int8 AS relation, r.rulename AS name, pg_get_ruledef(r.oid) AS definition, \
           {enabled} AS enabled, obj_description(r.oid, 'pg_rewrite') AS comment, false AS inherited \
         FROM pg_rewrite r WHERE r.rulename <> '_RETURN' AND r.ev_class >= {FIRST_USER_OID}",
        enabled = enabled("r.ev_enabled"),
    )
}

pub(super) fn policies() -> String {
    format!(
        "SELECT p.polrelid::int8 AS relation, p.polname AS name, \
           concat_ws(' ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, \
             'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' \
               WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, \
             'TO ' || (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r)::text END, ', ' \
               ORDER BY r) FROM unnest(p.polroles) r), \
             'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', \
             'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') AS definition, \
           obj_description(p.oid, 'pg_policy') AS comment \
         FROM pg_policy p WHERE p.polrelid >= {FIRST_USER_OID}"
    )
}

pub(super) fn statistics() -> String {
    format!(
        "SELECT s.stxrelid::int8 AS relation, s.stxname AS name, pg_get_statisticsobjdef(s.oid) AS definition, \
           CASE WHEN s.stxstattarget >= 0 THEN 'statistics ' || s.stxstattarget END AS options, \
           obj_description(s.oid, 'pg_statistic_ext') AS comment \
         FROM pg_statistic_ext s WHERE s.stxrelid >= {FIRST_USER_OID}"
    )
}

pub(super) fn sequences() -> String {
    format!(
        "SELECT n.nspname AS schema, c.relname AS name, format_type(s.seqtypid, NULL) AS type, \
           concat_ws(', ', 'start ' || s.seqstart, 'increment ' || s.seqincrement, 'minimum ' || s.seqmin, \
             'maximum ' || s.seqmax, 'cache ' || s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' ELSE 'no cycle' END) AS options, \
           o.nspname AS owning_schema, o.relname AS owning_table, o.attname AS owning_column, \
           coalesce(o.deptype = 'i', false) AS identity, \
           pg_get_userbyid(c.relowner) AS owner, obj_description(c.oid, 'pg_class') AS comment, \
           CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END AS persistence, \
           {grants} AS privileges \
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN LATERAL (SELECT tn.nspname, t.relname, a.attname, d.deptype FROM pg_depend d \
             JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
             JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
               AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')) o ON true \
         WHERE c.relpersistence <> 't' AND {own} AND {no_member}",
        grants = grants("c.relacl", 's', "c.relowner"),
        own = own_schemas(),
        no_member = no_member("pg_class", "c.oid"),
    )
}

pub(super) fn functions() -> String {
    format!(
        "SELECT n.nspname AS schema, p.proname AS name, oidvectortypes(p.proargtypes) AS arguments, \
           CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window function' \
             ELSE 'function' END AS kind, \
           CASE p.prokind WHEN 'a' THEN concat_ws(', ', 'AGGREGATE (SFUNC = ' || a.aggtransfn::regproc, \
               'STYPE = ' || format_type(a.aggtranstype, NULL), 'SSPACE = ' || nullif(a.aggtransspace, 0), \
               'INITCOND = ' || quote_literal(a.agginitval), 'FINALFUNC = ' || nullif(a.aggfinalfn, 0)::regproc, \
               'FINALFUNC_MODIFY = ' || a.aggfinalmodify::text, 'COMBINEFUNC = ' || nullif(a.aggcombinefn, 0)::regproc, \
               'SERIALFUNC = ' || nullif(a.aggserialfn, 0)::regproc, \
               'DESERIALFUNC = ' || nullif(a.aggdeserialfn, 0)::regproc, \
               'MSFUNC = ' || nullif(a.aggmtransfn, 0)::regproc, 'MINVFUNC = ' || nullif(a.aggminvtransfn, 0)::regproc, \
               'SORTOP = ' || nullif(a.aggsortop, 0)::regoperator, 'KIND = ' || a.aggkind::text, \
               'PARALLEL = ' || p.proparallel::text) || ')' \
             ELSE pg_get_functiondef(p.oid) END AS definition, \
           pg_get_userbyid(p.proowner) AS owner, obj_description(p.oid, 'pg_proc') AS comment, {grants} AS privileges \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid \
         WHERE {own} AND {no_member} AND p.oid >= {FIRST_USER_OID} AND NOT EXISTS (SELECT FROM pg_depend i \
           WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')",
        grants = grants("p.proacl", 'f', "p.proowner"),
        own = own_schemas(),
        no_member = no_member("pg_proc", "p.oid"),
    )
}

/// Row types of tables, arrays and multiranges are told by what they were made for.
pub(super) fn types() -> String {
    format!(
        "SELECT n.nspname AS schema, t.typname AS name, \
           CASE t.typtype \
             WHEN 'e' THEN 'ENUM (' || coalesce((SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) \
               FROM pg_enum e WHERE e.enumtypid = t.oid), '') || ')' \
             WHEN 'd' THEN concat_ws(' ', 'DOMAIN AS', format_type(t.typbasetype, t.typtypmod), \
               CASE WHEN t.typcollation <> b.typcollation THEN 'COLLATE ' || t.typcollation::regcollation END, \
               'DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN 'NOT NULL' END, \
               (SELECT string_agg(format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), ' ' ORDER BY k.conname) \
                FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')) \
             WHEN 'c' THEN 'COMPOSITE (' || coalesce((SELECT string_agg(concat_ws(' ', quote_ident(a.attname::text), \
                 format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) \
               FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')' \
             WHEN 'r' THEN (SELECT concat_ws(', ', 'RANGE (SUBTYPE = ' || format_type(r.rngsubtype, NULL), \
                 'CANONICAL = ' || nullif(r.rngcanonical, 0)::regproc, 'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff, 0)::regproc) \
               || ')' FROM pg_range r WHERE r.rngtypid = t.oid) \
             ELSE concat_ws(' ', 'BASE (INPUT =', t.typinput::regproc, 'OUTPUT =', t.typoutput::regproc, 'LENGTH =', t.typlen) \
               || ')' END AS definition, \
           pg_get_userbyid(t.typowner) AS owner, obj_description(t.oid, 'pg_type') AS comment, {grants} AS privileges \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype \
         WHERE t.typtype <> 'm' AND t.typisdefined AND {own} AND {no_member} \
           AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) \
           AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)",
        grants = grants("t.typacl", 'T', "t.typowner"),
        own = own_schemas(),
        no_member = no_member("pg_type", "t.oid"),
    )
}

pub(super) fn extensions() -> String {
    "SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema \
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        .to_owned()
}

pub(super) fn event_triggers() -> String {
    format!(
        "SELECT t.evtname AS name, concat_ws(' ', 'ON', t.evtevent, \
             'WHEN TAG IN (' || array_to_string(t.evttags, ', ') || ')', 'EXECUTE FUNCTION', t.evtfoid::regproc) AS definition, \
           {enabled} AS enabled, obj_description(t.oid, 'pg_event_trigger') AS comment, false AS inherited \
         FROM pg_event_trigger t WHERE {no_member}",
        enabled = enabled("t.evtenabled"),
        no_member = no_member("pg_event_trigger", "t.oid"),
    )
}

/// Row filters, column lists and whole schemas came with 15.
pub(super) fn publications(version: u32) -> String {
    let (columns, filter, schemas) = if version >= 150_000 {
        (
            "(SELECT string_agg(quote_ident(a.attname::text), ', ' ORDER BY a.attnum) FROM pg_attribute a \
              WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))",
            "pg_get_expr(r.prqual, r.prrelid)",
            "(SELECT string_agg(n.pnnspid::regnamespace::text, ', ' ORDER BY n.pnnspid::regnamespace::text) \
              FROM pg_publication_namespace n WHERE n.pnpubid = p.oid)",
        )
    } else {
        ("NULL", "NULL", "NULL")
    };
    format!(
        "SELECT p.pubname AS name, concat_ws(' ', CASE WHEN p.puballtables THEN 'FOR ALL TABLES' END, \
             'FOR TABLE ' || (SELECT string_agg(concat_ws(' ', r.prrelid::regclass, '(' || {columns} || ')', \
               'WHERE ' || {filter}), ', ' ORDER BY r.prrelid::regclass::text) \
               FROM pg_publication_rel r WHERE r.prpubid = p.oid), \
             'FOR TABLES IN SCHEMA ' || {schemas}, \
             'PUBLISH', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, \
               CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END), \
             CASE WHEN p.pubviaroot THEN 'VIA ROOT' END) AS definition, \
           pg_get_userbyid(p.pubowner) AS owner, obj_description(p.oid, 'pg_publication') AS comment \
         FROM pg_publication p"
    )
}

pub(super) fn default_privileges() -> String {
    format!(
        "SELECT concat_ws(' ', CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' \
             WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, \
             'IN SCHEMA ' || n.nspname, 'BY', pg_get_userbyid(d.defaclrole)) AS name, \
           {grants} AS privileges \
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace",
        grants = grants("d.defaclacl", 'r', "d.defaclrole"),
    )
}
