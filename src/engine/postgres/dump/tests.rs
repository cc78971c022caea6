use super::{major, requirements};

fn roles(sql: &str) -> Vec<String> {
    requirements(sql.as_bytes()).unwrap().roles.into_iter().collect()
}

#[test]
fn roles_are_found_wherever_a_dump_names_them() {
    for (sql, expected) in [
        ("ALTER TABLE public.orders OWNER TO shop;", vec!["shop"]),
        ("ALTER FUNCTION f(a int, owner text) OWNER TO \"Shop Owner\";", vec!["Shop Owner"]),
        ("GRANT SELECT(id, \"to\") ON TABLE t TO app, report WITH GRANT OPTION;", vec!["app", "report"]),
        ("SET SESSION AUTHORIZATION a; GRANT ALL ON SCHEMA s TO PUBLIC;", vec!["a"]),
        ("GRANT ALL ON SCHEMA s TO pg_read_all_data;", vec![]),
        ("REVOKE ALL ON TABLE t FROM b, c CASCADE;", vec!["b", "c"]),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE own IN SCHEMA s GRANT SELECT ON TABLES TO r;", vec!["own", "r"]),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE own REVOKE ALL ON TABLES FROM r;", vec!["own", "r"]),
        ("CREATE POLICY p ON t TO seller, CURRENT_USER USING ((a = 'to x'::text));", vec!["seller"]),
        ("CREATE POLICY p ON t USING ((a IS NULL));", vec![]),
        ("CREATE SCHEMA s AUTHORIZATION boss;", vec!["boss"]),
        ("SET SESSION AUTHORIZATION 'Boss';", vec!["Boss"]),
        ("SET SESSION AUTHORIZATION DEFAULT;", vec![]),
        ("CREATE USER MAPPING FOR PUBLIC SERVER s; CREATE USER MAPPING FOR who SERVER s;", vec!["who"]),
        ("CREATE ROLE a; ALTER TABLE t OWNER TO a;", vec![]),
        ("CREATE TABLE grants (owner text, \"to\" text); COMMENT ON TABLE grants IS 'GRANT x TO y';", vec![]),
        ("COPY t FROM stdin;\nALTER TABLE t OWNER TO nobody;\n\\.\n", vec![]),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'x'; GRANT a TO b; END$$;", vec![]),
    ] {
        assert_eq!(roles(sql), expected, "{sql}");
    }
}

#[test]
fn extensions_versions_encoding_and_databases_are_read() {
    let dump = "--\n-- Dumped from database version 17.2 (Debian 17.2-1)\n\\restrict k\nSET client_encoding = 'UTF8';\n\
        CREATE DATABASE shop;\n\\connect Shop2\n\\connect -reuse-previous=on \"dbname='odd name'\"\n\
        CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;\nCREATE EXTENSION unit VERSION '7';\n";
    let found = requirements(dump.as_bytes()).unwrap();
    assert_eq!(found.server_major(), Some(17));
    assert_eq!(found.encoding.as_deref(), Some("UTF8"));
    assert_eq!(found.databases.iter().map(String::as_str).collect::<Vec<_>>(), ["Shop2", "odd name", "shop"]);
    let extensions: Vec<_> = found.extensions.iter().map(|e| (e.name.as_str(), e.version.as_deref())).collect();
    assert_eq!(extensions, [("uuid-ossp", None), ("unit", Some("7"))]);
}

#[test]
fn a_major_version_is_its_first_number() {
    assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
    assert_eq!(major("18beta1"), Some(18));
    assert_eq!(major("next"), None);
}
