use super::*;

#[test]
fn a_tree_is_copied_with_modes_and_what_links_lead_to() {
    let top = tempfile::tempdir().expect("a temporary folder");
    let (from, elsewhere, to) = (top.path().join("from"), top.path().join("elsewhere"), top.path().join("to"));
    fs::create_dir_all(from.join("inner")).expect("made");
    fs::create_dir(&elsewhere).expect("made");
    fs::write(from.join("inner/file"), b"content").expect("written");
    fs::write(elsewhere.join("table"), b"rows").expect("written");
    fs::set_permissions(from.join("inner"), Permissions::from_mode(0o700)).expect("set");
    symlink(&elsewhere, from.join("16400")).expect("linked");
    symlink("inner/file", from.join("relative")).expect("linked");

    let copied = tree(&from, &to, Links::Absolute, &CancellationToken::new()).expect("copied");

    assert_eq!(copied.bytes, 11);
    assert_eq!(fs::read(to.join("inner/file")).expect("read"), b"content");
    assert_eq!(fs::metadata(to.join("inner")).expect("there").mode() & 0o777, 0o700);
    assert_eq!(fs::read_link(to.join("relative")).expect("a link"), Path::new("inner/file"));
    let link = fs::read_link(to.join("16400")).expect("a link");
    assert_ne!(link, elsewhere, "two servers would share it");
    assert_eq!(fs::read(link.join("table")).expect("read"), b"rows");
    assert_eq!(fs::read_dir(top.path()).expect("read").count(), 4, "from, elsewhere, to, to.linked and no traces");
}

#[test]
fn a_stopped_copy_says_so() {
    let top = tempfile::tempdir().expect("a temporary folder");
    let from = top.path().join("from");
    fs::create_dir(&from).expect("made");
    fs::write(from.join("file"), b"x").expect("written");
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(matches!(tree(&from, &top.path().join("to"), Links::Absolute, &stop), Err(LabError::Io { .. })));
}

#[test]
fn what_links_lead_to_is_found_wherever_a_copy_was_moved() {
    let top = tempfile::tempdir().expect("a temporary folder");
    let (from, elsewhere) = (top.path().join("from"), top.path().join("elsewhere"));
    fs::create_dir_all(from.join("pg_tblspc")).expect("made");
    fs::create_dir(&elsewhere).expect("made");
    fs::write(elsewhere.join("table"), b"rows").expect("written");
    symlink(&elsewhere, from.join("pg_tblspc/16400")).expect("linked");
    let (draft, kept) = (top.path().join("draft"), top.path().join("kept"));
    fs::create_dir(&draft).expect("made");
    tree(&from, &draft.join("primary"), Links::Relative, &CancellationToken::new()).expect("copied");
    fs::rename(&draft, &kept).expect("moved");
    fs::remove_dir_all(&elsewhere).expect("removed");

    let clone = top.path().join("clone");
    tree(&kept.join("primary"), &clone, Links::Absolute, &CancellationToken::new()).expect("copied");

    let link = fs::read_link(clone.join("pg_tblspc/16400")).expect("a link");
    assert!(link.starts_with(top.path().join("clone.linked")), "{}", link.display());
    assert_eq!(fs::read(link.join("table")).expect("read"), b"rows");
}
