//! Folders as mydumper writes them, whole and not.

use super::*;

const DONE: &str = "Started dump at: 2026-01-01 00:00:00\nFinished dump at: 2026-01-01 00:00:01\n";

fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(METADATA), DONE).expect("a file");
    for name in names {
        fs::write(folder.path().join(name), "SELECT 1;\n").expect("a file");
    }
    folder
}

#[track_caller]
fn refused(folder: &tempfile::TempDir, wanted: &str) -> (String, Option<String>) {
    let error = Dump::read(folder.path(), wanted).expect_err("it is refused");
    assert!(error.is_usage());
    let place = folder.path().to_string_lossy().into_owned();
    (error.to_string().replace(&place, "D"), error.hint())
}

#[test]
fn files_in_the_order_of_what_they_need() {
    let folder = folder(&[
        "shop-schema-create.sql",
        "shop-schema-post.sql",
        "shop.a_v-schema-view.sql",
        "shop.a_v-schema.sql",
        "shop.orders-schema-triggers.sql",
        "shop.orders-schema.sql.gz",
        "shop.orders.00000.sql.zst",
        "shop.orders.00001.00002.sql",
        "shop.o d.x-schema.sql",
        "shop.o d.x.sql",
        "shop.sq-schema-sequence.sql",
        "shop.sq.sql",
        "shop.users.checksum",
    ]);
    let dump = Dump::read(folder.path(), "elsewhere").expect("it is whole");
    assert_eq!((dump.database.as_str(), dump.bytes()), ("shop", 120));
    let found: Vec<_> = dump.files.iter().map(|file| (file.stage, file.name.as_str())).collect();
    assert_eq!(
        found,
        [
            (Stage::Database, "shop-schema-create.sql"),
            (Stage::Sequences, "shop.sq-schema-sequence.sql"),
            (Stage::Tables, "shop.a_v-schema.sql"),
            (Stage::Tables, "shop.o d.x-schema.sql"),
            (Stage::Tables, "shop.orders-schema.sql.gz"),
            (Stage::Rows, "shop.o d.x.sql"),
            (Stage::Rows, "shop.orders.00000.sql.zst"),
            (Stage::Rows, "shop.orders.00001.00002.sql"),
            (Stage::Rows, "shop.sq.sql"),
            (Stage::Routines, "shop-schema-post.sql"),
            (Stage::Views, "shop.a_v-schema-view.sql"),
            (Stage::Triggers, "shop.orders-schema-triggers.sql"),
        ]
    );
}

#[test]
fn of_several_databases_the_one_that_is_named() {
    let folder =
        folder(&["a-schema-create.sql", "a.t-schema.sql", "a.b-schema-create.sql", "a.b.t-schema.sql", "a.b.t.sql"]);
    let dump = Dump::read(folder.path(), "a.b").expect("it is named");
    let names: Vec<_> = dump.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a.b-schema-create.sql", "a.b.t-schema.sql", "a.b.t.sql"]);
    let (said, hint) = refused(&folder, "shop");
    assert_eq!(said, "the dump holds several databases: a, a.b");
    assert_eq!(hint.as_deref(), Some("set database = \"a\" under [snapshot], or the other that is meant"));
}

#[test]
fn what_is_no_whole_dump_of_sql() {
    #[track_caller]
    fn check(names: &[&str], said: &str, hint: &str) {
        let (found, hinted) = refused(&folder(names), "shop");
        assert_eq!((found.as_str(), hinted.as_deref()), (said, Some(hint)));
    }
    check(&[], "D holds no database", "take the dump again, and see that its copy is whole");
    check(
        &["shop.t-schema.sql", "shop.t.00000.dat"],
        "D/shop.t.00000.dat holds rows that are not SQL, as mydumper writes them with --load-data",
        "dump without --load-data: rows are read as SQL",
    );
    check(
        &["shop.t-schema.sql", "shop.t.00000.csv.zst"],
        "D/shop.t.00000.csv.zst holds rows that are not SQL, as mydumper writes them with --csv",
        "dump without --csv: rows are read as SQL",
    );
    check(
        &["shop.t.00000.sql"],
        "D/shop.t.00000.sql has rows of a table that shop.t-schema.sql would make, which is not there",
        "take the dump again, and see that its copy is whole",
    );
    check(
        &["shop.t-schema.sql", "notes.txt"],
        "D/notes.txt is no file that mydumper is known to write",
        "move it out of the folder if it does not belong to the dump",
    );

    let cut = folder(&["shop.t-schema.sql", "shop.t.sql"]);
    fs::write(cut.path().join("shop.t.sql"), "INSERT INTO `t` VALUES\n(1,\"a").expect("a file");
    assert_eq!(refused(&cut, "shop").0, "D/shop.t.sql ends in the middle of a statement or of a table's rows");
    fs::write(cut.path().join(METADATA), "Started dump at: 2026-01-01 00:00:00\n").expect("a file");
    let (said, hint) = refused(&cut, "shop");
    assert_eq!(said, "mydumper did not finish the dump in D");
    assert_eq!(hint.as_deref(), Some("take the dump again, and see that its copy is whole"));
}
