//! The corpus through a crate's decoders, and seeded changes of it: what a fuzzer found once stays found.
//!
//! Included by the tests of each crate that has fuzz targets, so that CI replays the corpus without nightly.

use std::fs;
use std::path::Path;

/// Changes of each input.
const ROUNDS: u32 = 100;

/// What takes any bytes.
type Decoder = fn(&[u8]);

/// Every input of these targets, and changes of it.
pub(crate) fn all(targets: &[(&str, Decoder)]) {
    let mut random = Random(0x5EED);
    for (target, run) in targets {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has a corpus");
        for (name, input) in &inputs {
            for round in 0..=ROUNDS {
                let _says = Says(target, name, round);
                let other = &inputs[random.below(inputs.len())].1;
                let changed = if round == 0 { input.clone() } else { change(&mut random, input, other) };
                run(&changed);
            }
        }
    }
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut inputs: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Says which input was at work when a decoder panics.
struct Says<'a>(&'a str, &'a str, u32);

impl Drop for Says<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("fuzz/corpus/{}/{}, change {}", self.0, self.1, self.2);
        }
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// Some bytes other, or cut, or repeated, or of another input.
fn change(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if at > 0 => bytes.truncate(at),
            1 if !bytes.is_empty() => {
                let end = (at + random.below(32)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            2 if !other.is_empty() => {
                let from = random.below(other.len());
                let end = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            3 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x80, b'\n', b'"', b'0'][random.below(6)],
            _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}
