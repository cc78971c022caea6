use super::{RAISED, ServerMessage};

fn check(code: &str, message: &str, expected: &str) {
    let error = ServerMessage {
        code: code.into(),
        message: message.into(),
        table: Some("orders".into()),
        constraint: Some("orders_total_check".into()),
        detail: Some("Failing row contains (1, secret).".into()),
        ..ServerMessage::default()
    };
    assert_eq!(error.to_sql_error(false).message, expected);
    assert!(error.to_sql_error(true).message.contains("secret"));
}

#[test]
fn values_are_left_out_and_names_are_kept() {
    check(
        "22P02",
        r#"invalid input syntax for type integer: "4111 1111""#,
        r#"invalid input syntax for type integer: "…""#,
    );
    check("22P02", r#"invalid input syntax for type json: "a"b"c""#, r#"invalid input syntax for type json: "…""#);
    check(
        "22003",
        r#"value "99999999999" is out of range for type integer"#,
        r#"value "…" is out of range for type integer"#,
    );
    check("22001", "value too long for type character varying(10)", "value too long for type character varying(…)");
    check("P0001", "customer 4711 (born 1970-01-01) owes 12.50 'x'", "customer … (born …) owes … '…'");
    check("XX000", "could not open relation with OID 16384 in int4", "could not open relation with OID … in int4");
    check(
        "23514",
        r#"new row for relation "orders" violates check constraint "orders_total_check""#,
        r#"new row for relation "orders" violates check constraint "orders_total_check""#,
    );
    check(
        "23503",
        r#"update or delete on table "customers" violates foreign key constraint "fk" on table "orders""#,
        r#"update or delete on table "customers" violates foreign key constraint "fk" on table "orders""#,
    );
    check("23505", r#"there is a "secret" already"#, r#"there is a "…" already"#);
    check("42P01", r#"relation "nowhere" does not exist"#, r#"relation "nowhere" does not exist"#);
    check("42601", r#"syntax error at or near "selec""#, r#"syntax error at or near "selec""#);
    check("42601", r#"syntax error at or near ";""#, r#"syntax error at or near ";""#);
    check("42601", r#"syntax error at or near "'hunter2'""#, r#"syntax error at or near "…""#);
    check("57014", "canceling statement due to statement timeout", "canceling statement due to statement timeout");
    check("ZZ999", "what 12 is \"this\"", "what … is \"…\"");
}

#[test]
fn what_a_function_raises_holds_values_under_any_code() {
    let raised = |routine: &str, code: &str, sql: &str, message: &str, expected: &str| {
        let error = ServerMessage {
            code: code.into(),
            message: message.into(),
            routine: Some(routine.into()),
            ..ServerMessage::default()
        };
        assert_eq!(error.shown(false), RAISED);
        assert_eq!(error.shown_of(sql, false), expected);
        assert_eq!(error.shown_of(sql, true), message);
    };
    let (raise, sql) = ("exec_stmt_raise", "DO $$ BEGIN RAISE 'order % of % is closed, no. 7', id, buyer; END $$");
    raised(raise, "42501", sql, "order 1234 of Ann is closed, no. 7", "order … of … is closed, no. 7");
    raised(raise, "42501", sql, "order 1234 of ann-lee@example.org is closed", "order … of … is closed");
    raised(raise, "57014", "SELECT close_order(7)", "ann@example.org", RAISED);
    raised(raise, "P0001", "SELECT close_order(7)", "order of Ann", RAISED);
    raised("exec_stmt_assert", "P0004", "DO $$ BEGIN ASSERT false, 'no ' || name; END $$", "no Ann", "no …");
}

#[test]
fn a_table_outside_public_carries_its_schema() {
    let table = |schema: &str| {
        let (schema, table) = (Some(schema.into()), Some("orders".into()));
        ServerMessage { schema, table, ..ServerMessage::default() }.to_sql_error(false).table
    };
    assert_eq!(table("public").as_deref(), Some("orders"));
    assert_eq!(table("billing").as_deref(), Some("billing.orders"));
}
