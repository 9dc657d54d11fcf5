use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

use super::{Place, is_no_file, may_have_names};

const SERVICE: u32 = 4711;

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    Place::of(path)?.open()?.read_to_string(&mut text)?;
    Ok(text)
}

/// A directory of a service, beside a file that is not the service's.
fn service_directory() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let base = root.path().canonicalize().unwrap();
    let (directory, secret) = (base.join("app"), base.join("shadow"));
    fs::create_dir(&directory).unwrap();
    fs::write(&secret, "secret").unwrap();
    (root, directory, secret)
}

#[test]
fn links_are_followed_wherever_they_stand() {
    let (_root, directory, secret) = service_directory();
    let base = directory.parent().unwrap();
    symlink("../shadow", directory.join("up.log")).unwrap();
    symlink("app", base.join("other")).unwrap();
    symlink(base.join("other/up.log"), base.join("twice.log")).unwrap();
    symlink("round", base.join("round")).unwrap();
    let place = Place::of(&base.join("twice.log")).unwrap();
    assert_eq!(place.path, secret);
    assert_eq!(place.link_owners.len(), 3);
    assert_eq!(read(&base.join("other/up.log")).unwrap(), "secret");
    assert_eq!(Place::of(&base.join("none/x.log")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(Place::of(&base.join("round")).is_err());
}

#[test]
fn what_is_no_file_is_neither_read_nor_waited_for() {
    let (_root, directory, _) = service_directory();
    let fifo = directory.join("fifo.log");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(is_no_file(&read(&fifo).unwrap_err()));
    assert!(is_no_file(&read(&directory).unwrap_err()));
    symlink(&fifo, directory.join("link.log")).unwrap();
    assert!(is_no_file(&read(&directory.join("link.log")).unwrap_err()));
}

#[test]
fn a_link_that_comes_between_look_and_use_is_refused() {
    let (_root, directory, secret) = service_directory();
    let log = directory.join("a.log");
    fs::write(&log, "text").unwrap();
    let place = Place::of(&log).unwrap();
    fs::remove_file(&log).unwrap();
    symlink(&secret, &log).unwrap();
    assert!(place.open().is_err());
    fs::remove_file(&log).unwrap();
    fs::rename(&directory, directory.with_file_name("away")).unwrap();
    fs::write(directory.with_file_name("away").join("a.log"), "text").unwrap();
    symlink("away", &directory).unwrap();
    assert!(place.open().is_err());
}

#[test]
fn a_second_name_counts_where_others_can_make_one() {
    assert!(may_have_names(0, 0, 0o755) && may_have_names(SERVICE, SERVICE, 0o750));
    // root's own directory: nobody else makes names there
    assert!(may_have_names(SERVICE, 0, 0o755));
    assert!(!may_have_names(0, SERVICE, 0o755) && !may_have_names(0, 0, 0o775));
    assert!(!may_have_names(0, 0, 0o1777) && !may_have_names(SERVICE, SERVICE, 0o770));
}

#[test]
fn only_the_owner_and_root_decide_by_links_what_is_read() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_root, directory, secret) = service_directory();
    let link = directory.join("x.log");
    symlink(&secret, &link).unwrap();
    assert_eq!(read(&link).unwrap(), "secret");
    lchown(&link, Some(SERVICE), None).unwrap();
    chown(&directory, Some(SERVICE), None).unwrap();
    let refused = read(&link).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert!(refused.to_string().contains("4711"), "{refused}");
    chown(&secret, Some(SERVICE), None).unwrap();
    assert_eq!(read(&link).unwrap(), "secret");
    // a second name of root's file in the service's directory
    chown(&secret, Some(0), None).unwrap();
    fs::remove_file(&link).unwrap();
    fs::hard_link(&secret, &link).unwrap();
    assert_eq!(read(&link).unwrap_err().kind(), ErrorKind::PermissionDenied);
}
