use std::sync::{Arc, Mutex};

use super::*;
use crate::event::snapshot::SnapshotTable;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_gets_a_line_from_time_to_time() {
    let written = Written::default();
    let mut capturing = Capturing::plain(Box::new(written.clone()));
    let at = |elapsed_ms: f64, rows, done_bytes| CaptureProgress {
        table: Some("orders".into()),
        tables: 3,
        rows,
        bytes: rows * 100,
        done_bytes,
        total_bytes: 1_000_000,
        elapsed_ms,
        ..CaptureProgress::default()
    };
    capturing.tell(&CaptureProgress::default());
    capturing.tell(&at(4_000.0, 100, 0));
    capturing.tell(&at(6_000.0, 1_200, 0));
    capturing.tell(&at(10_000.0, 2_000, 200_000));
    capturing.tell(&at(20_000.0, 5_000, 500_000));
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    insta::assert_snapshot!(text, @r"
    [    0.00 s] asking the server what is there
    [    6.00 s] captured 1,200 rows, 120 kB, 200 rows/s, next orders
    [   20.00 s] captured 5,000 rows, 500 kB, 250 rows/s, next orders, 50 %, 20 s left
    ");
}

#[test]
fn a_folder_is_told_in_a_table() {
    let table = |name: &str, rows, production_rows| SnapshotTable {
        table: name.into(),
        columns: 3,
        rows,
        production_rows,
        bytes: rows * 100,
        stored_bytes: rows * 20,
        chunks: 2,
    };
    let summary = SnapshotSummary {
        format: 1,
        folder: "shop".into(),
        engine: "postgres".into(),
        server: "15.18".into(),
        database: "shop".into(),
        captured: "2024-05-01T10:00:00Z".parse().unwrap(),
        is_standby: true,
        is_masked: false,
        masked: Vec::new(),
        is_sampled: false,
        sampled: Vec::new(),
        missed: Vec::new(),
        orphans: Vec::new(),
        encoding: "UTF8".into(),
        collation: "C.UTF-8".into(),
        position: Some("0/16B3748".into()),
        extensions: vec!["citext 1.6".into()],
        roles: vec!["app".into(), "postgres".into()],
        sequences: 4,
        left_out: vec!["far: its rows lie on another server".into()],
        tables: vec![table("orders", 1_200_000, 1_200_000), table("log.events", 40, 4_000)],
        rows: 1_200_040,
        bytes: 120_004_000,
        stored_bytes: 24_000_800,
    };
    insta::assert_snapshot!(text(&summary), @r"
    source      shop of postgres 15.18, a standby
    captured    2024-05-01T10:00:00Z
    content     rows as they were, nothing masked
    text        UTF8, C.UTF-8
    position    0/16B3748
    extensions  citext 1.6
    roles       app, postgres
    sequences   4
    left out    far: its rows lie on another server

    table              rows    size  stored  chunks
    orders        1,200,000  120 MB   24 MB       2
    log.events  40 of 4,000    4 kB   800 B       2

    2 tables, 1,200,040 rows, 120 MB, 24 MB stored
    ");
    let damaged = [
        Damaged {
            table: Some("orders".into()),
            file: Some("data/000001/000002.zst".into()),
            why: "it is missing".into(),
        },
        Damaged { table: None, file: None, why: "the capture was not finished".into() },
    ];
    assert_eq!(damages(&damaged), "orders: data/000001/000002.zst: it is missing\nthe capture was not finished\n");
}
