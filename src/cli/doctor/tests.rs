use serde_json::json;

use super::*;
use crate::commands::doctor::{Program, ProgramFile};

const PLAIN: TerminalSettings = TerminalSettings { quiet: false, live: false, colour: false, columns: 0 };

/// Postgres 15 natively, and 13 and 15 as images, where there is what makes them possible.
fn diagnosis(docker: bool, native: bool) -> Diagnosis {
    let engine = missing_as("no Docker Engine answers at /var/run/docker.sock: no such file", "start Docker");
    let image = |version: &str| match version {
        _ if !docker => Part::Missing(engine.clone()),
        "14" => Part::Missing(missing_as("no image with it", "docker pull postgres:14")),
        _ => Part::Here(Image { image: format!("postgres:{version}") }),
    };
    let installed = |version: &str| match version {
        "15" if native => {
            Part::Here(Installed { release: "15.8".into(), programs: "/usr/lib/postgresql/15/bin".into() })
        }
        _ => Part::Missing(missing_as("no server", &format!("install the server postgresql-{version}"))),
    };
    let server = |version: &str| Server {
        engine: "postgres",
        version: version.into(),
        docker: image(version),
        native: installed(version),
    };
    Diagnosis {
        lab_folder: Part::Here(LabFolder {
            path: "/tmp/rehearsal-1000".into(),
            exists: native,
            free_bytes: 64_000_000_000,
            in_memory: docker,
        }),
        docker: match docker {
            true => Part::Here(DockerEngine { socket: "/var/run/docker.sock".into(), version: Some("28.2.2".into()) }),
            false => Part::Missing(engine.clone()),
        },
        servers: ["13", "14", "15"].map(server).into(),
        programs: vec![Program {
            name: "pg_dump",
            purpose: "to dump",
            found: match native {
                true => Part::Here(ProgramFile { path: "/usr/bin/pg_dump".into() }),
                false => Part::Missing(missing_as("no pg_dump on this machine, to dump", "install clients")),
            },
        }],
    }
}

fn missing_as(why: &str, hint: &str) -> Missing {
    Missing { why: why.into(), hint: Some(hint.into()) }
}

#[test]
fn with_both() {
    insta::assert_snapshot!(text(&diagnosis(true, true), &PLAIN), @r"
    ✓ lab folder  /tmp/rehearsal-1000, 64 GB free, in memory: faster than any disk
    ✓ Docker      28.2.2, at /var/run/docker.sock
    ✓ pg_dump     /usr/bin/pg_dump

                   docker       native
    ✓ postgres 13  postgres:13  –
    ✗ postgres 14  –            –
    ✓ postgres 15  postgres:15  15.8 in /usr/lib/postgresql/15/bin

    how to get the rest
      postgres 13 native  install the server postgresql-13
      postgres 14 docker  docker pull postgres:14
      postgres 14 native  install the server postgresql-14

    2 of 3 versions can be rehearsed on this machine as it is
    ");
}

#[test]
fn with_neither() {
    let found = diagnosis(false, false);
    assert_eq!((found.runnable(), found.exit_code()), (0, 3));
    insta::assert_snapshot!(text(&found, &PLAIN), @r"
    ✓ lab folder  /tmp/rehearsal-1000, 64 GB free, made by the first run
    ✗ Docker      no Docker Engine answers at /var/run/docker.sock: no such file
    ✗ pg_dump     no pg_dump on this machine, to dump

                   docker  native
    ✗ postgres 13  –       –
    ✗ postgres 14  –       –
    ✗ postgres 15  –       –

    how to get the rest
      Docker              start Docker
      pg_dump             install clients
      postgres 13 native  install the server postgresql-13
      postgres 14 native  install the server postgresql-14
      postgres 15 native  install the server postgresql-15

    0 of 3 versions can be rehearsed on this machine as it is
    ");
}

#[test]
fn quiet_and_coloured() {
    let settings = TerminalSettings { quiet: true, colour: true, ..PLAIN };
    let found = diagnosis(false, true);
    assert_eq!((found.runnable(), found.exit_code()), (1, 0));
    insta::assert_snapshot!(text(&found, &settings).replace('\u{1b}', "^"), @r"
    ^[32m✓^[0m lab folder  /tmp/rehearsal-1000, 64 GB free
    ^[31m✗^[0m Docker      no Docker Engine answers at /var/run/docker.sock: no such file
    ^[32m✓^[0m pg_dump     /usr/bin/pg_dump

    ^[1m               docker  native^[0m
    ^[31m✗^[0m postgres 13  –       –
    ^[31m✗^[0m postgres 14  –       –
    ^[32m✓^[0m postgres 15  –       15.8 in /usr/lib/postgresql/15/bin

    1 of 3 versions can be rehearsed on this machine as it is
    ");
}

/// Every lab needs its folder.
#[test]
fn without_room_for_labs_nothing_runs() {
    let found = Diagnosis {
        lab_folder: Part::Missing(missing_as("/nowhere cannot hold labs: it is a file", "set REHEARSAL_LAB_DIR")),
        ..diagnosis(true, true)
    };
    assert_eq!((found.runnable(), found.exit_code()), (0, 3));
    assert_eq!(first_hint(&found), "set REHEARSAL_LAB_DIR");
    let text = text(&found, &PLAIN);
    assert!(text.starts_with("✗ lab folder  /nowhere cannot hold labs: it is a file\n"), "{text}");
    assert!(text.contains("  lab folder          set REHEARSAL_LAB_DIR\n"), "{text}");
}

#[test]
fn plain_data_for_programs() {
    let data = serde_json::to_value(diagnosis(true, true)).expect("it is plain data");
    let folder = json!({
        "state": "here", "path": "/tmp/rehearsal-1000", "exists": true, "free_bytes": 64_000_000_000_u64, "in_memory": true
    });
    assert_eq!(data["lab_folder"], folder);
    assert_eq!(data["docker"], json!({ "state": "here", "socket": "/var/run/docker.sock", "version": "28.2.2" }));
    let (image, server) = (
        json!({ "state": "missing", "why": "no image with it", "hint": "docker pull postgres:14" }),
        json!({ "state": "missing", "why": "no server", "hint": "install the server postgresql-14" }),
    );
    let of_14 = json!({ "engine": "postgres", "version": "14", "docker": image, "native": server });
    assert_eq!(data["servers"][1], of_14);
    let of_15 = json!({ "state": "here", "release": "15.8", "programs": "/usr/lib/postgresql/15/bin" });
    assert_eq!(data["servers"][2]["native"], of_15);
    assert_eq!(data["programs"][0]["found"], json!({ "state": "here", "path": "/usr/bin/pg_dump" }));
}
