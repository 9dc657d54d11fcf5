//! One file: which TLS library is in it, and where its programs go.

use super::code::{self, MOST_CODE};
use super::elf::{Elf, ElfError, Function, Source};
use super::{go, grpc, h2};
use crate::kernel::uprobe::Place;

/// What a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `openssl` or `go`
    pub library: &'static str,
    /// Where programs go.
    pub places: Vec<Place>,
    /// Where more of them go if there is room: those that tell which goroutine's a stream of HTTP/2 is.
    pub streams: Vec<Place>,
    /// Why there are none of these in a program that has such streams.
    pub gap: Option<Unfit>,
}

/// Why a file that has a TLS library is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Unfit {
    /// Of a few: `go_version`, `code`, `symbols`, `file`, `attach`, `limit`, `grpc_version`.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl From<ElfError> for Unfit {
    fn from(error: ElfError) -> Self {
        Self { code: "file", detail: error.to_string() }
    }
}

pub(super) fn unfit(code: &'static str, detail: impl Into<String>) -> Unfit {
    Unfit { code, detail: detail.into() }
}

const GO_READ: &str = "crypto/tls.(*Conn).Read";
const GO_WRITE: &str = "crypto/tls.(*Conn).Write";
/// The client of net/http: another goroutine than the one that asks writes its requests.
const GO_ASKS: &str = "net/http.(*persistConn).roundTrip";

/// OpenSSL's functions: the programs at the begin of each, and at its return.
const OPENSSL: [(&str, &str, Option<&str>); 6] = [
    ("SSL_read", "tls_ssl_read", Some(DONE)),
    ("SSL_read_ex", "tls_ssl_read_ex", Some(DONE)),
    ("SSL_write", "tls_ssl_write", Some(DONE)),
    ("SSL_write_ex", "tls_ssl_write_ex", Some(DONE)),
    ("SSL_do_handshake", "tls_ssl_handshake", Some(SHAKEN)),
    ("SSL_free", "tls_ssl_free", None),
];
const DONE: &str = "tls_ssl_done";
const SHAKEN: &str = "tls_ssl_shaken";

/// Whether a file of this name is looked at when it is not the program itself.
pub fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    (name.starts_with("libssl") || name.starts_with("libgnutls")) && name.contains(".so")
}

/// Looks for TLS in a file; `None` where there is none to be seen.
///
/// # Errors
/// Where there is some, and it cannot be read.
pub fn examine<S: Source + ?Sized>(source: &S, path: &str) -> Result<Option<Found>, Unfit> {
    let elf = match Elf::open(source) {
        Err(ElfError::Kind) => return Ok(None),
        other => other?,
    };
    if elf.section(".go.buildinfo").is_some() {
        return go_program(&elf);
    }
    let found = elf.functions(&OPENSSL.map(|(name, ..)| name))?;
    let reads = found.contains_key("SSL_read") || found.contains_key("SSL_read_ex");
    let writes = found.contains_key("SSL_write") || found.contains_key("SSL_write_ex");
    if !reads || !writes {
        let is_named = is_library(path);
        return if is_named { Err(unfit("symbols", "no functions of OpenSSL")) } else { Ok(None) };
    }
    let mut places = Vec::new();
    let (mut done, mut shaken) = (Vec::new(), Vec::new());
    for (name, program, at_return) in OPENSSL {
        let Some(Function { offset, .. }) = found.get(name) else { continue };
        let at = offset + code::cheap(&elf.bytes(*offset, 64)?);
        places.push(Place { program, offsets: vec![at], is_return: false });
        match at_return {
            Some(DONE) => done.push(at),
            Some(_) => shaken.push(at),
            None => {}
        }
    }
    for (program, offsets) in [(DONE, done), (SHAKEN, shaken)] {
        if !offsets.is_empty() {
            places.push(Place { program, offsets, is_return: true });
        }
    }
    Ok(Some(Found { library: "openssl", places, streams: Vec::new(), gap: None }))
}

fn go_program<S: Source + ?Sized>(elf: &Elf<'_, S>) -> Result<Option<Found>, Unfit> {
    let Some(minor) = go::version(elf)? else {
        return Err(unfit("go_version", "Go before 1.18, or of no version"));
    };
    if !go::VERSIONS.contains(&minor) {
        return Err(unfit("go_version", format!("Go 1.{minor} is not known")));
    }
    let mut wanted = vec![GO_READ, GO_WRITE, GO_ASKS, grpc::SERVES, grpc::OPENS];
    wanted.extend(h2::FUNCTIONS);
    let mut found = elf.functions(&wanted)?;
    if found.is_empty() {
        found = go::functions(elf, &wanted)?;
    }
    let (Some(read), Some(write)) = (found.get(GO_READ), found.get(GO_WRITE)) else {
        // a program without TLS has neither
        let has_none = !found.contains_key(GO_READ) && !found.contains_key(GO_WRITE);
        return if has_none { Ok(None) } else { Err(unfit("symbols", "only one of Go's functions")) };
    };
    let (read_code, write_code) = (code_of(elf, read)?, code_of(elf, write)?);
    let place = |program, offsets| Place { program, offsets, is_return: false };
    let mut places = vec![
        place("tls_go_write", vec![write.offset + write_code.begin]),
        place("tls_go_read", vec![read.offset + read_code.begin]),
        place("tls_go_read_done", read_code.returns.iter().map(|at| read.offset + at).collect()),
    ];
    // where it is not as known, requests are joined by thread as those of other programs
    if let Some(asks) = found.get(GO_ASKS)
        && let Ok(code) = code_of(elf, asks)
    {
        places.push(place("tls_go_asks", vec![asks.offset + code.begin]));
    }
    let mut streams = h2::places(elf, &found, minor);
    let gap = match grpc::places(elf, &found) {
        Ok(of_grpc) => {
            streams.extend(of_grpc);
            None
        }
        Err(gap) => Some(gap),
    };
    Ok(Some(Found { library: "go", places, streams, gap }))
}

pub(super) fn code_of<S: Source + ?Sized>(
    elf: &Elf<'_, S>,
    function: &Function,
) -> Result<code::GoCode, Unfit> {
    let size = usize::try_from(function.size).unwrap_or(usize::MAX);
    if size == 0 || size > MOST_CODE {
        return Err(unfit("code", format!("a function of {size} bytes")));
    }
    let bytes = elf.bytes(function.offset, size)?;
    // behind a function's end the compiler puts breakpoints
    let used = bytes.iter().rposition(|byte| *byte != 0xcc).map_or(0, |last| last + 1);
    code::go(bytes.get(..used).unwrap_or_default())
        .ok_or_else(|| unfit("code", "not as Go's compiler makes it"))
}

#[cfg(test)]
mod tests {
    use super::super::elf::Elf;
    use super::super::elf::tests::go_program;
    use super::super::modules::tests::{LINES, section};
    use super::super::modules::{Module, module};
    use super::{GO_ASKS, GO_READ, GO_WRITE, examine, grpc, is_library};

    #[test]
    fn libraries_are_known_by_their_names() {
        for path in ["/usr/lib/libssl.so.3", "/a/libssl-0c7a.so.1.1", "/usr/lib/libgnutls.so.30"] {
            assert!(is_library(path), "{path}");
        }
        assert!(!is_library("/usr/lib/libcrypto.so.3") && !is_library("/libssl.so/x"));
    }

    #[test]
    fn places_are_found_in_a_library_and_in_a_go_program_without_symbols() {
        let library =
            examine(&include_bytes!("../../../fuzz/corpus/tls_binary/library")[..], "").unwrap().unwrap();
        assert_eq!((library.library, library.places.len()), ("openssl", 5));
        assert_eq!(library.places[4].offsets, [0x120]);
        let programs: [(&[u8], [u64; 2]); 2] = [
            (include_bytes!("../../../fuzz/corpus/tls_binary/go"), [0x10b, 0x10d]),
            (include_bytes!("../../../fuzz/corpus/tls_binary/go-before-1.21"), [0x10e, 0x10f]),
        ];
        for (program, returns) in programs {
            let go = examine(program, "").unwrap().unwrap();
            let places: Vec<(&str, &[u64])> =
                go.places.iter().map(|place| (place.program, place.offsets.as_slice())).collect();
            assert_eq!(go.library, "go");
            let expected = [
                ("tls_go_write", &[0x116][..]),
                ("tls_go_read", &[0x106]),
                ("tls_go_read_done", &returns),
                ("tls_go_asks", &[0x126]),
            ];
            assert_eq!(places, expected);
        }
    }

    /// With `WAKE_WRITE_CORPUS` it is written anew.
    #[test]
    fn the_corpus_has_a_program_with_streams_of_a_known_version() {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tls_binary/go-grpc");
        let names = [GO_READ, GO_WRITE, GO_ASKS, grpc::SERVES, grpc::OPENS];
        let made = go_program(&names, &section(LINES));
        if std::env::var_os("WAKE_WRITE_CORPUS").is_some() {
            std::fs::write(place, &made).unwrap();
        }
        let seed = std::fs::read(place).unwrap();
        assert!(seed == made, "write it anew with WAKE_WRITE_CORPUS=1");
        let elf = Elf::open(&seed[..]).unwrap();
        assert_eq!(module(&elf, "google.golang.org/grpc").unwrap(), Module::Version("v1.85.0".to_owned()));
        let found = examine(&seed[..], "").unwrap().unwrap();
        let streams: Vec<(&str, &[u64])> =
            found.streams.iter().map(|place| (place.program, place.offsets.as_slice())).collect();
        let expected = [
            ("tls_grpc_serves_77", &[0x1036][..]),
            ("tls_go_served", &[0x103b, 0x103d]),
            ("tls_grpc_opens_83", &[0x104b, 0x104d]),
        ];
        assert_eq!((streams.as_slice(), found.gap), (&expected[..], None));
        // changed a little, as a fuzzer does: a version that is not known, and code that is none
        let at = memchr::memmem::find(&seed, b"v1.85.0").unwrap();
        for (place, byte, code) in [(at + 3, b'9', "grpc_version"), (0x1030, 0x06, "code")] {
            let mut seed = seed.clone();
            seed[place] = byte;
            let found = examine(&seed[..], "").unwrap().unwrap();
            assert_eq!((found.places.len(), found.streams.len()), (4, 0));
            assert_eq!(found.gap.unwrap().code, code);
        }
    }

    #[test]
    fn what_is_no_file_of_this_machine_has_no_tls() {
        assert_eq!(examine(&b"#!/bin/sh\n"[..], "/bin/x"), Ok(None));
        assert_eq!(examine(&b""[..], "/bin/x"), Ok(None));
    }
}
