use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::engine::EngineKind;
use crate::snapshot::verify::{Verified, verify};
use tokio_util::sync::CancellationToken;

fn database() -> Database {
    Database {
        engine: EngineKind::Postgres,
        version: "15.18".into(),
        name: "shop".into(),
        encoding: "UTF8".into(),
        collation: "C.UTF-8".into(),
        settings: BTreeMap::new(),
        position: None,
        is_standby: false,
        extensions: Vec::new(),
        roles: Vec::new(),
        sequences: Vec::new(),
        left_out: Vec::new(),
    }
}

fn stored(name: &str, chunks: Vec<Chunk>) -> StoredTable {
    let table = Table {
        schema: "public".into(),
        name: name.into(),
        part_of: None,
        columns: Vec::new(),
        estimated_rows: None,
        stored_bytes: 0,
        privileges: Vec::new(),
        condition: None,
    };
    let rows = chunks.iter().map(|chunk| chunk.rows).sum();
    StoredTable {
        table,
        rows,
        production_rows: rows,
        bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
        masks: Vec::new(),
        chunks,
    }
}

/// Two tables; the first has two chunks.
fn fill(folder: &Path) -> Manifest {
    let begun = begin(folder, "ann@db:5432/shop").unwrap();
    fs::write(begun.schema().join("schema.dump"), "CREATE TABLE").unwrap();
    begun.make_table(0).unwrap();
    begun.make_table(1).unwrap();
    let mut written = Vec::new();
    for (table, chunk, rows) in [(0, 0, "1\tone\n2\ttwo\n"), (0, 1, "3\tthree\n"), (1, 0, "\n")] {
        let (path, file) = begun.chunk(table, chunk);
        let mut writer = ChunkWriter::create(&path, file).unwrap();
        writer.write(rows.as_bytes()).unwrap();
        written.push(writer.finish(&path).unwrap().expect("it has rows"));
    }
    let (path, file) = begun.chunk(1, 1);
    assert_eq!(ChunkWriter::create(&path, file).unwrap().finish(&path).unwrap(), None);
    assert!(!path.exists(), "a chunk without rows leaves no file");
    let last = written.pop().into_iter().collect();
    let tables = vec![stored("orders", written), stored("log", last)];
    let captured = "2024-05-01T10:00:00Z".parse().unwrap();
    begun
        .finish(Contents { captured, is_masked: false, is_sampled: false, sample: None, database: database(), tables })
        .unwrap()
}

async fn verified(folder: &Path) -> Verified {
    verify(folder, &CancellationToken::new()).await.unwrap().unwrap()
}

fn told(verified: &Verified) -> Vec<String> {
    let part = |text: &Option<String>| text.clone().map(|text| text + ": ").unwrap_or_default();
    verified.damaged.iter().map(|one| format!("{}{}{}", part(&one.table), part(&one.file), one.why)).collect()
}

#[tokio::test]
async fn a_folder_is_whole_as_it_was_written() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("new/shop");
    let manifest = fill(&folder);
    assert_eq!(Manifest::read(&folder).unwrap(), manifest);
    let verified = verified(&folder).await;
    assert_eq!((verified.chunks, verified.rows, told(&verified)), (3, 4, Vec::<String>::new()));
    assert!(!folder.join(UNFINISHED).exists());
    assert!(matches!(begin(&folder, "x").err(), Some(StoreError::Taken { .. })));
    let rows: Vec<_> = manifest.production_rows().into_iter().collect();
    assert_eq!(rows, [("log".to_owned(), 1), ("orders".to_owned(), 3)]);
}

/// The archive is written as client programs do it, under the umask alone.
#[test]
fn what_is_written_is_its_owners_alone() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    fill(&folder);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut below = vec![folder];
    let mut files = 0;
    while let Some(path) = below.pop() {
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
            below.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 5, "manifest, archive, three chunks");
}

/// Each damage alone, and what is told of it.
#[tokio::test]
async fn every_damage_is_found_and_named() {
    type Hurt = fn(&Path);
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cases: [(&str, Hurt); 9] = [
        ("orders: data/000001/000002.zst: it is missing", |folder| {
            fs::remove_file(folder.join("data/000001/000002.zst")).unwrap();
        }),
        ("orders: data/000001/000001.zst: it has 0 bytes instead of", |folder| {
            fs::write(folder.join("data/000001/000001.zst"), "").unwrap();
        }),
        // Another whole chunk, of as many bytes.
        ("log: data/000002/000001.zst: it was changed after it was written", |folder| {
            let path = folder.join("data/000002/000001.zst");
            let length = fs::metadata(&path).unwrap().len();
            let other = zstd::encode_all(&b"\t"[..], 1).unwrap();
            assert_eq!(other.len() as u64, length);
            fs::write(path, other).unwrap();
        }),
        ("schema/schema.dump: it was changed after it was written", |folder| {
            fs::write(folder.join("schema/schema.dump"), "CREATE TABLF").unwrap();
        }),
        ("schema/schema.dump: it has 4 bytes instead of 12", |folder| {
            fs::write(folder.join("schema/schema.dump"), "DROP").unwrap();
        }),
        ("data/000001/000003.zst: nothing in the manifest speaks of it", |folder| {
            fs::write(folder.join("data/000001/000003.zst"), "x").unwrap();
        }),
        ("manifest.json: it was changed after it was written", |folder| {
            let text = fs::read_to_string(folder.join(MANIFEST)).unwrap();
            fs::write(folder.join(MANIFEST), text.replacen("\"rows\": 3", "\"rows\": 2", 1)).unwrap();
        }),
        ("manifest.json: it is missing", |folder| fs::remove_file(folder.join(MANIFEST)).unwrap()),
        ("the capture was not finished", |folder| {
            fs::rename(folder.join(MANIFEST), folder.join(UNFINISHED)).unwrap();
        }),
    ];
    for (expected, hurt) in cases {
        let room = tempfile::tempdir().unwrap();
        fill(room.path());
        hurt(room.path());
        let told = told(&verified(room.path()).await);
        assert!(matches!(&told[..], [one] if one.starts_with(expected)), "{expected}: {told:?}");
    }
    // A bit anywhere in a chunk, or in the manifest.
    let room = tempfile::tempdir().unwrap();
    fill(room.path());
    for file in ["data/000001/000001.zst", MANIFEST] {
        let path = room.path().join(file);
        for at in 0..fs::metadata(&path).unwrap().len() {
            flip(&path, usize::try_from(at).unwrap());
            let found = verified(room.path()).await;
            assert!(!found.damaged.is_empty(), "{file} with bit {at} turned");
            flip(&path, usize::try_from(at).unwrap());
        }
    }
    assert_eq!(told(&verified(room.path()).await), Vec::<String>::new());
}

#[test]
fn what_a_killed_capture_left_makes_way_and_nothing_else_does() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let begun = begin(&folder, "ann@db:5432/shop").unwrap();
    assert!(!begun.started_over);
    begun.make_table(0).unwrap();
    fs::write(begun.chunk(0, 0).0, "half").unwrap();
    assert!(matches!(begin(&folder, "x").err(), Some(StoreError::InUse { .. })));
    // Killed, it keeps its files and loses its lock.
    drop(begun);
    let again = begin(&folder, "x").unwrap();
    assert!(again.started_over);
    assert!(!again.chunk(0, 0).0.exists());
    again.abandon();
    assert!(folder.exists(), "another had made it");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    assert!(matches!(begin(&folder, "x").err(), Some(StoreError::NotEmpty { .. })));
    let new = room.path().join("other");
    begin(&new, "x").unwrap().abandon();
    assert!(!new.exists());
}

#[test]
fn a_manifest_names_no_file_outside_of_its_folder() {
    let room = tempfile::tempdir().unwrap();
    let chunk = fill(room.path()).tables[0].chunks[0].clone();
    for file in ["../1.zst", "1/../../x.zst", "/etc/1.zst", "1/1.zst/..", "1/.zst", "000001"] {
        let chunk = Chunk { file: file.into(), ..chunk.clone() };
        assert!(matches!(ChunkReader::open(room.path(), &chunk).err(), Some(Damage::Outside)), "{file}");
    }
    for file in ["../x", "/etc/passwd", "a/b", "..", ""] {
        let file = StoredFile { file: file.into(), bytes: 0, blake3: String::new() };
        assert!(matches!(file.check(room.path()), Err(Damage::Outside)), "{}", file.file);
    }
}
