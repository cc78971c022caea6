use super::*;

fn base() -> (tempfile::TempDir, Base) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = Base::at(&folder.path().join("b")).expect("a base");
    (folder, base)
}

fn states(base: &Base) -> Vec<(String, LabState)> {
    base.list().expect("listed").into_iter().map(|lab| (lab.id, lab.state)).collect()
}

/// Until they are so: a process that another test forks holds this one's locks until it becomes its program.
#[track_caller]
fn assert_states(base: &Base, expected: &[(String, LabState)]) {
    let began = Instant::now();
    while states(base) != expected && began.elapsed() < LOCK_DEADLINE {
        std::thread::yield_now();
    }
    assert_eq!(states(base), expected);
}

#[test]
fn a_lease_is_live_while_held_and_stale_once_dropped() {
    let (_folder, base) = base();
    let lease = Lease::take(&base, LabKind::Native, "r1").expect("a lease");
    assert_eq!(states(&base), [(lease.id().to_owned(), LabState::Live)]);
    assert_eq!(base.list().expect("listed")[0].lease.as_ref().map(|lease| lease.run.as_str()), Some("r1"));
    let id = lease.id().to_owned();
    drop(lease);
    assert_states(&base, &[(id, LabState::Stale)]);
}

#[test]
fn a_kept_lease_is_kept() {
    let (_folder, base) = base();
    let lease = Lease::take(&base, LabKind::Docker, "r2").expect("a lease");
    lease.keep(Vec::new()).expect("kept");
    assert_states(&base, &[(lease.id().to_owned(), LabState::Kept)]);
}

#[test]
fn an_ended_lease_leaves_nothing() {
    let (_folder, base) = base();
    Lease::take(&base, LabKind::Native, "r3").expect("a lease").end().expect("ended");
    assert_eq!(states(&base), []);
}

#[test]
fn a_folder_without_a_lease_is_stale_and_others_are_not_labs() {
    let (_folder, base) = base();
    fs::create_dir(base.path().join("abcd1234")).expect("made");
    fs::create_dir(base.path().join("somebody else's")).expect("made");
    assert_eq!(states(&base), [("abcd1234".to_owned(), LabState::Stale)]);
}

#[test]
fn the_base_keeps_its_id() {
    let (_folder, base) = base();
    assert_eq!(Base::at(base.path()).expect("opened"), base);
}

#[test]
fn a_long_path_is_refused_with_a_hint() {
    let error = Base::at(Path::new(&format!("/tmp/{}", "x".repeat(100)))).expect_err("refused");
    assert!(error.hint().is_some_and(|hint| hint.contains(VARIABLE)), "{error}");
}

#[test]
fn a_link_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).expect("linked");
    assert!(matches!(Base::at(&link), Err(LabError::BadBase { .. })));
}

#[test]
fn the_base_is_looked_at_and_not_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("b");
    let before = look_at(&path).expect("it can be made");
    assert_eq!((&before.path, before.exists, path.exists()), (&path, false, false));
    assert!(before.free_bytes > 0);
    Base::at(&path).expect("a base");
    assert!(look_at(&path).expect("it is there").exists);
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let refused = |path: &Path| look_at(path).expect_err("refused").to_string();
    assert!(refused(&folder.path().join("file")).contains(NOT_OWN));
    assert!(refused(&folder.path().join("none/b")).contains("cannot hold labs"));
    assert!(refused(&folder.path().join("x".repeat(200))).contains("too long for a socket"));
    assert!(matches!(look_at(Path::new("/proc/b")), Err(LabError::DiskFull { .. } | LabError::BadBase { .. })));
}
