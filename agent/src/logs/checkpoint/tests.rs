use super::{Checkpoints, FilePosition, Fingerprint, Mark, Position, merge_marks};
use crate::logs::record::{Chunk, SourceKey};

fn mark(inode: u64, offset: u64) -> Mark {
    let position = FilePosition { log: "/var/log/a.log".into(), offset, ..FilePosition::default() };
    Mark { source: SourceKey::File { device: 1, inode }, position: Some(Position::File(position)) }
}

#[test]
fn what_was_persisted_is_there_after_a_restart_and_the_rest_is_not() {
    let root = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(root.path()).unwrap();
    assert!(checkpoints.is_fresh());
    checkpoints.commit(&[mark(1, 10), mark(2, 20)]);
    checkpoints.commit(&[Mark { source: SourceKey::File { device: 1, inode: 2 }, position: None }]);
    checkpoints.set_globs(vec!["/var/log/*.log".to_owned()]);
    checkpoints.persist(7).unwrap();
    checkpoints.commit(&[mark(1, 11)]);
    let again = Checkpoints::open(root.path()).unwrap();
    let resume = again.resume();
    assert!(!again.is_fresh());
    assert_eq!((resume.saved_ns, resume.globs.len(), resume.positions.len()), (7, 1, 1));
    assert_eq!(resume.positions.into_values().next(), mark(1, 10).position);
}

#[test]
fn an_unreadable_file_is_set_aside() {
    let root = tempfile::tempdir().unwrap();
    for text in ["{", "[]", r#"{"version":9,"saved_ns":0,"globs":[],"marks":[]}"#] {
        std::fs::write(root.path().join("logs.json"), text).unwrap();
        assert!(Checkpoints::open(root.path()).unwrap().is_fresh(), "{text}");
        assert_eq!(std::fs::read_to_string(root.path().join("logs.json.corrupt")).unwrap(), text);
    }
}

#[test]
fn the_first_version_is_read_for_ever() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("logs.json"), include_str!("test-data/v1.json")).unwrap();
    let checkpoints = Checkpoints::open(root.path()).unwrap();
    let positions = checkpoints.resume().positions;
    let file = FilePosition {
        log: "/var/log/pods/shop_cart_uid/app/0.log".into(),
        offset: 4711,
        born_ns: 1_795_267_499_000_000_000,
        head: Fingerprint { length: 1024, hash: 17 },
        tail: Fingerprint { length: 64, hash: 18 },
        pending: [("stdout".to_owned(), 4000)].into(),
        in_key: vec!["stderr".to_owned()],
        continues: true,
        beside: vec![(SourceKey::File { device: 65024, inode: 12 }, 5)],
    };
    assert_eq!(positions[&SourceKey::File { device: 65024, inode: 11 }], Position::File(file));
    assert_eq!(positions[&SourceKey::Journal], Position::Journal("s=1;i=2".to_owned()));
}

#[test]
fn of_several_chunks_the_last_mark_of_a_source_counts() {
    let chunk = |marks| Chunk { records: Vec::new(), marks };
    let chunks = [chunk(vec![mark(1, 10), mark(2, 5)]), chunk(vec![mark(1, 20)])];
    assert_eq!(merge_marks(&chunks), [mark(1, 20), mark(2, 5)]);
}

#[test]
fn a_thousand_files_are_written_again_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(root.path()).unwrap();
    checkpoints.commit(&(0..1000).map(|inode| mark(inode, inode)).collect::<Vec<_>>());
    checkpoints.persist(1).unwrap();
    assert_eq!(Checkpoints::open(root.path()).unwrap().resume().positions.len(), 1000);
}

#[test]
fn nobody_else_reads_or_leads_the_file_elsewhere() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let (state, other) = (root.path().join("state"), root.path().join("other"));
    let checkpoints = Checkpoints::open(&state).unwrap();
    std::fs::write(&other, "theirs").unwrap();
    std::os::unix::fs::symlink(&other, state.join("logs.json.tmp")).unwrap();
    checkpoints.commit(&[mark(1, 10)]);
    checkpoints.persist(7).unwrap();
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "theirs");
    let mode = |path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(state.clone()), mode(state.join("logs.json"))), (0o700, 0o600));
}
