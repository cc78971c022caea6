//! What a person and a program are told of a lab that is up.

use std::path::PathBuf;

use super::nodes;
use crate::commands::up::{Role, Up, UpNode};

fn node(name: &str, role: Role, port: u16) -> UpNode {
    UpNode {
        name: name.into(),
        role,
        version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        url: format!("postgresql://postgres@127.0.0.1:{port}/shop"),
        host: "127.0.0.1".into(),
        port,
        user: "postgres".into(),
        database: "shop".into(),
    }
}

fn example() -> Up {
    Up {
        scenario: "orders get a region".into(),
        run: "20261122-010203-9f3a".into(),
        lab: "native",
        folder: PathBuf::from("/tmp/rehearsal-0/abcd2345"),
        passwords: PathBuf::from("/tmp/rehearsal-0/abcd2345/pgpass"),
        connect: "PGPASSFILE='/tmp/rehearsal-0/abcd2345/pgpass' psql 'postgresql://postgres@127.0.0.1:40001/shop'"
            .into(),
        nodes: vec![
            node("primary", Role::Writer, 40001),
            node("far-standby", Role::Replica { of: "primary".into() }, 40002),
        ],
    }
}

#[test]
fn a_lab_that_is_up_as_a_table() {
    insta::assert_snapshot!(nodes(&example()), @r"
    node         role                version  url
    primary      writer              15.18    postgresql://postgres@127.0.0.1:40001/shop
    far-standby  replica of primary  15.18    postgresql://postgres@127.0.0.1:40002/shop

    passwords  /tmp/rehearsal-0/abcd2345/pgpass
    connect    PGPASSFILE='/tmp/rehearsal-0/abcd2345/pgpass' psql 'postgresql://postgres@127.0.0.1:40001/shop'
    take down  rehearsal down 20261122-010203-9f3a
    ");
}

#[test]
fn a_lab_that_is_up_as_json() {
    insta::assert_json_snapshot!(example().nodes[1], @r#"
    {
      "name": "far-standby",
      "role": "replica",
      "of": "primary",
      "version": "15.18 (Debian 15.18-0+deb12u1)",
      "url": "postgresql://postgres@127.0.0.1:40002/shop",
      "host": "127.0.0.1",
      "port": 40002,
      "user": "postgres",
      "database": "shop"
    }
    "#);
}
