use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::processes::Processes;
use super::{LINGER_NS, Watch};
use crate::kernel::uprobe::Place;

/// A program of Go with grpc-go, whose connections have five places, and its streams three.
const STREAMS: &[u8] = include_bytes!("../../../../fuzz/corpus/tls_binary/go-grpc");

const SECOND: u64 = 1_000_000_000;

/// A `/proc` of made processes that run a real library.
struct Proc {
    directory: tempfile::TempDir,
}

/// An ELF file with OpenSSL's functions, made from nothing but its tables.
fn library() -> Vec<u8> {
    super::super::elf::tests::library(&["SSL_read", "SSL_write", "SSL_do_handshake"])
}

impl Proc {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn process(&self, pid: u32, began: u64, program: &Path, library: Option<&Path>) {
        let directory = self.root().join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let stat = format!("{pid} (a) b) S{} {began} 0 0", " 1".repeat(18));
        std::fs::write(directory.join("stat"), stat).unwrap();
        let line = |path: &Path| {
            let inode = std::fs::metadata(path).unwrap().ino();
            format!("7f-8f r-xp 0 fe:00 {inode} {}\n", path.display())
        };
        let maps = line(program) + &library.map(line).unwrap_or_default();
        std::fs::write(directory.join("maps"), maps).unwrap();
        for (name, to) in [("exe", program), ("root", Path::new("/"))] {
            let link = directory.join(name);
            if std::fs::symlink_metadata(&link).is_ok() {
                std::fs::remove_file(&link).unwrap();
            }
            symlink(to, link).unwrap();
        }
    }

    fn end(&self, pid: u32) {
        std::fs::remove_dir_all(self.root().join(pid.to_string())).unwrap();
    }
}

/// Counts those that are alive.
struct Hook(Rc<Cell<usize>>);

impl Drop for Hook {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

type Attached = std::io::Result<(Hook, usize)>;

fn watch(
    proc: &Proc,
    alive: &Rc<Cell<usize>>,
    most: usize,
) -> Watch<impl FnMut(&File, &[Place]) -> Attached, Hook> {
    refusing(proc, alive, most, |places| Ok(places.to_vec()))
}

/// As `watch`, of a kernel that takes of some places those that `takes` says, or none.
fn refusing(
    proc: &Proc,
    alive: &Rc<Cell<usize>>,
    most: usize,
    takes: impl Fn(&[Place]) -> std::io::Result<Vec<Place>>,
) -> Watch<impl FnMut(&File, &[Place]) -> Attached, Hook> {
    let alive = Rc::clone(alive);
    Watch::new(Processes::new(proc.root(), None), most, move |_: &File, places: &[Place]| {
        let count = takes(places)?.iter().map(|place| place.offsets.len()).sum();
        alive.set(alive.get() + 1);
        Ok((Hook(Rc::clone(&alive)), count))
    })
}

fn is_of_streams(place: &Place) -> bool {
    place.program.starts_with("tls_grpc_") || place.program == crate::tls::grpc::SERVED
}

#[test]
fn connections_are_read_where_places_of_streams_are_refused() {
    let (proc, alive) = (Proc::new(), Rc::default());
    proc.process(10, 5, &proc.file("served", STREAMS), None);
    let error = || std::io::Error::other("no such place");
    let mut watch = refusing(&proc, &alive, 100, |places| {
        if places.iter().any(is_of_streams) { Err(error()) } else { Ok(places.to_vec()) }
    });
    watch.step(SECOND);
    let told = watch.told().unwrap();
    assert_eq!((told.hooked.get("go"), told.places, alive.get()), (Some(&1), 5, 1));
    assert!(told.unfit.is_empty());
    let line = "served: attach: no such place: calls of its streams are joined by thread";
    assert!(told.lines.len() == 1 && told.lines[0].ends_with(line), "{told:?}");
    // where the connections are refused, too, there is nothing to read
    let mut watch = refusing(&proc, &alive, 100, |_| Err(error()));
    watch.step(SECOND);
    let told = watch.told().unwrap();
    assert_eq!((told.unfit.get("attach"), told.places, told.hooked.len()), (Some(&1), 0, 0));
}

#[test]
fn places_of_streams_beyond_the_limit_leave_the_connections_read() {
    let (proc, alive) = (Proc::new(), Rc::default());
    proc.process(10, 5, &proc.file("served", STREAMS), None);
    for (most, places, lines) in [(10, 10, 0), (9, 5, 1)] {
        let mut watch = watch(&proc, &alive, most);
        watch.step(SECOND);
        let told = watch.told().unwrap();
        assert_eq!((told.hooked.get("go"), told.places, told.lines.len()), (Some(&1), places, lines));
    }
}

#[test]
fn programs_that_the_kernel_did_not_take_have_no_places() {
    let (proc, alive) = (Proc::new(), Rc::default());
    proc.process(10, 5, &proc.file("served", STREAMS), None);
    let mut watch = refusing(&proc, &alive, 100, |places| {
        Ok(places.iter().filter(|place| !is_of_streams(place)).cloned().collect())
    });
    watch.step(SECOND);
    assert_eq!(watch.told().unwrap().places, 5);
    proc.end(10);
    watch.step(3 * SECOND);
    watch.step(4 * SECOND + LINGER_NS);
    assert_eq!((watch.told().unwrap().places, alive.get()), (0, 0), "as many go as have come");
}

#[test]
fn a_library_is_hooked_once_and_let_go_after_its_last_process() {
    let (proc, alive) = (Proc::new(), Rc::default());
    let (program, library) = (proc.file("app", b"no elf"), proc.file("libssl.so.3", &library()));
    proc.process(10, 5, &program, Some(&library));
    proc.process(11, 6, &program, Some(&library));
    let mut watch = watch(&proc, &alive, 100);
    watch.step(SECOND);
    assert_eq!(alive.get(), 1);
    let told = watch.told().unwrap();
    assert_eq!((told.hooked.get("openssl"), told.places, told.lines.len()), (Some(&1), 6, 0));
    assert!(watch.told().is_none());
    proc.end(10);
    watch.step(3 * SECOND);
    watch.step(4 * SECOND + LINGER_NS);
    assert_eq!(alive.get(), 1, "another process runs it");
    proc.end(11);
    watch.step(100 * SECOND);
    watch.step(102 * SECOND);
    assert_eq!(alive.get(), 1, "the next process may be short");
    watch.step(102 * SECOND + LINGER_NS);
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_library_that_is_loaded_or_replaced_later_is_found() {
    let (proc, alive) = (Proc::new(), Rc::default());
    let program = proc.file("app", b"no elf");
    proc.process(10, 5, &program, None);
    let mut watch = watch(&proc, &alive, 100);
    watch.step(SECOND);
    assert_eq!(alive.get(), 0);
    let first = proc.file("libssl.so.3", &library());
    proc.process(10, 5, &program, Some(&first));
    watch.step(2 * SECOND);
    assert_eq!(alive.get(), 1);
    // another file of another name: for another process
    let second = proc.file("libssl-new.so.3", &library());
    proc.process(12, 9, &program, Some(&second));
    watch.step(4 * SECOND);
    assert_eq!(alive.get(), 2);
}

#[test]
fn what_cannot_be_read_is_named_and_what_is_too_much_as_well() {
    let (proc, alive) = (Proc::new(), Rc::default());
    let program = proc.file("app", b"no elf");
    let other = proc.file("libgnutls.so.30", &super::super::elf::tests::library(&["gnutls_record_send"]));
    let library = proc.file("libssl.so.3", &library());
    proc.process(10, 5, &program, Some(&other));
    proc.process(11, 5, &program, Some(&library));
    let mut watch = watch(&proc, &alive, 3);
    watch.step(SECOND);
    let told = watch.told().unwrap();
    assert_eq!((told.unfit.get("symbols"), told.unfit.get("limit"), alive.get()), (Some(&1), Some(&1), 0));
    assert!(told.lines[0].ends_with("libgnutls.so.30: symbols: no functions of OpenSSL"), "{told:?}");
    proc.end(10);
    watch.step(3 * SECOND);
    assert_eq!(watch.told().unwrap().lines.len(), 1);
}

#[test]
fn a_file_without_programs_is_read_once_for_many_short_processes() {
    let (proc, alive) = (Proc::new(), Rc::default());
    let program = proc.file("app", b"no elf");
    let other = proc.file("libgnutls.so.30", &super::super::elf::tests::library(&["gnutls_record_send"]));
    let mut watch = watch(&proc, &alive, 100);
    for round in 0..20_u32 {
        let now = u64::from(round) * 10 * SECOND + SECOND;
        proc.process(100 + round, 5, &program, Some(&other));
        watch.step(now);
        assert_eq!(watch.told().unwrap().lines.len(), 1);
        proc.end(100 + round);
        watch.step(now + 2 * SECOND);
        assert_eq!(watch.told().unwrap().lines.len(), 0, "nobody runs it");
    }
    assert_eq!(watch.examined, 2);
    // rewritten in its place
    std::fs::write(&other, library()).unwrap();
    proc.process(200, 5, &program, Some(&other));
    watch.step(300 * SECOND);
    assert_eq!((watch.examined, alive.get()), (3, 1));
    proc.end(200);
    watch.step(302 * SECOND);
    watch.step(1_000 * SECOND);
    assert_eq!(watch.files.len(), 0, "nothing is remembered for ever");
}

#[test]
fn a_number_that_another_process_has_now_is_looked_at_anew() {
    let (proc, alive) = (Proc::new(), Rc::default());
    let (program, library) = (proc.file("app", b"no elf"), proc.file("libssl.so.3", &library()));
    proc.process(10, 5, &program, Some(&library));
    let mut watch = watch(&proc, &alive, 100);
    watch.step(SECOND);
    proc.process(10, 77, &program, None);
    for second in 2..6 {
        watch.step(second * SECOND);
    }
    watch.step(8 * SECOND + LINGER_NS);
    assert_eq!(alive.get(), 0);
}
