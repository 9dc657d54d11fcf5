//! Blocks against what the test put in: every byte back, every needle as a naive scan finds it, bounds on the worst.

use std::sync::Arc;

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::{collection, prop_oneof, sample};

use super::{Bits, Block, BlockHead, Encoded, Encoder, Location, Needle, chosen};
use crate::disk::faulty::Random;
use crate::rows::Texts;

const NOW: i64 = 1_795_262_400_000_000_000;

fn texts(bodies: &[Vec<u8>]) -> Texts {
    let mut texts = Texts::default();
    bodies.iter().for_each(|body| texts.push(body));
    texts
}

fn times(rows: usize) -> Vec<i64> {
    (0..rows as i64).map(|row| NOW + row * 1_234_567).collect()
}

fn encode(bodies: &[Vec<u8>], times: &[i64]) -> Option<Encoded> {
    Encoder::new().unwrap().encode(&texts(bodies), times).unwrap()
}

fn location(encoded: &Encoded) -> Location {
    Location {
        at: 0,
        bytes: encoded.bytes.len(),
        head_bytes: encoded.head_bytes,
        head_unpacked: encoded.head_unpacked,
        head_crc: crc32c::crc32c(&encoded.bytes[..encoded.head_bytes]),
    }
}

pub(super) fn with_block<T>(bodies: &[Vec<u8>], check: impl FnOnce(&Block<'_>) -> T) -> Option<T> {
    let times = times(bodies.len());
    let encoded = encode(bodies, &times)?;
    let records = |rows: Option<&[u32]>| Ok(chosen(&times, rows));
    let head = Arc::new(BlockHead::read(&encoded.bytes, location(&encoded)).unwrap());
    let block = Block::open(&encoded.bytes, location(&encoded), head, &records).unwrap();
    Some(check(&block))
}

#[track_caller]
fn check(bodies: &[Vec<u8>], needles: &[Vec<u8>]) {
    let found = with_block(bodies, |block| {
        let back = block.bodies(None).unwrap();
        for (at, body) in bodies.iter().enumerate() {
            assert_eq!(back.get(at), body, "row {at}");
        }
        let mut some = Bits::new(bodies.len());
        (0..bodies.len()).step_by(3).for_each(|row| some.set(row));
        let back = block.bodies(Some(&some)).unwrap();
        assert!(back.iter().eq(bodies.iter().step_by(3)));
        for needle in needles {
            for fold in [false, true] {
                let asked = if fold { Needle::folded(needle) } else { Needle::new(needle) };
                let (rows, exact) = block.rows_with(&asked).unwrap();
                for (at, body) in bodies.iter().enumerate() {
                    let holds = match fold {
                        true => contains(&body.to_ascii_lowercase(), &needle.to_ascii_lowercase()),
                        false => contains(body, needle),
                    };
                    let shown = (String::from_utf8_lossy(needle), String::from_utf8_lossy(body));
                    assert!(rows.has(at) || !holds, "missed: {shown:?}, fold {fold}");
                    assert!(!exact || rows.has(at) == holds, "not exact: {shown:?}, fold {fold}");
                }
            }
        }
    });
    assert!(found.is_some() || bodies.len() > 4_096, "small blocks always have templates");
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || body.windows(needle.len()).any(|window| window == needle)
}

const PIECES: [&str; 40] = [
    "error",
    "Error",
    "timeout",
    "user=",
    "u12",
    "u7",
    "=",
    " ",
    " ",
    " ",
    "\"",
    "\"",
    "{\"a\":",
    ",\"b\":\"",
    "}",
    "12",
    "007",
    "-5",
    "0",
    "10.0.0.1",
    "4bf92f3577b34da6",
    "4BF92F35",
    "a1b2",
    "12:00:01.250",
    "2026-11-21T12:00:00.000Z",
    "/api/v1/x",
    "/usr/lib",
    "[",
    "]",
    ":",
    ", ",
    ",",
    "\n",
    "\n\tat c.acme.Foo.bar(Foo.java:",
    "k",
    "S",
    "caf\u{e9}",
    "550e8400-e29b-41d4-a716-446655440000",
    "3.5ms",
    "\\\"",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        4 => (0_u32..5_000).prop_map(|number| number.to_string().into_bytes()),
        2 => (0_u64..u64::MAX).prop_map(|number| format!("{number:016x}").into_bytes()),
        2 => (0_i64..40).prop_map(|step| format!("12:00:{step:02}.{:03}", step * 7).into_bytes()),
        1 => collection::vec(any::<u8>(), 0..4),
    ];
    collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Bodies that are mostly variations of a few.
pub(super) fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let varied = (collection::vec(body(), 1..6), collection::vec((any::<u32>(), body()), 1..60));
    varied.prop_map(|(shapes, rows)| {
        rows.into_iter()
            .map(|(seed, own)| match seed % 8 {
                0 => own,
                _ => {
                    let shape = &shapes[seed as usize % shapes.len()];
                    let digit = b'0' + (seed >> 8 & 7) as u8;
                    shape.iter().map(|byte| if *byte == b'2' { digit } else { *byte }).collect()
                }
            })
            .collect()
    })
}

fn needles(bodies: &[Vec<u8>], picks: &[(u32, u32, u32)]) -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = picks
        .iter()
        .map(|(row, start, len)| {
            let body = &bodies[*row as usize % bodies.len()];
            let start = *start as usize % (body.len() + 1);
            body[start..(start + *len as usize % 24).min(body.len())].to_vec()
        })
        .collect();
    needles.extend(PIECES.iter().step_by(3).map(|piece| piece.as_bytes().to_vec()));
    needles
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_byte_comes_back_and_every_needle_is_found(
        bodies in bodies(),
        picks in collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 24),
    ) {
        check(&bodies, &needles(&bodies, &picks));
    }

    #[test]
    fn any_bytes_come_back(bodies in collection::vec(collection::vec(any::<u8>(), 0..200), 1..20)) {
        let back = with_block(&bodies, |block| block.bodies(None).unwrap()).unwrap();
        prop_assert_eq!(back.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), bodies);
    }
}

/// Lines as a service writes them, one shape with all kinds of slots.
pub(super) fn served(rows: usize) -> Vec<Vec<u8>> {
    let mut random = Random(3);
    (0..rows as i64)
        .map(|row| {
            let ms = (NOW + row * 1_234_567) / 1_000_000 % 60_000;
            let (user, took) = (random.below(500), random.below(4_000));
            let trace = random.below(1 << 62);
            let path = ["/cart", "/orders", "/static/app.js"][random.below(3) as usize];
            format!(
                "{{\"ts\":\"2026-11-21T12:00:{:02}.{:03}Z\",\"level\":\"info\",\"path\":\"{path}/{took}\",\"user\":\"u{user}\",\"trace\":\"{trace:032x}\",\"ip\":\"10.0.{}.7\"}}",
                ms / 1_000,
                ms % 1_000,
                user % 9
            )
            .into_bytes()
        })
        .collect()
}

#[test]
fn repetition_costs_little() {
    let bodies = served(4_000);
    let text: usize = bodies.iter().map(Vec::len).sum();
    let encoded = encode(&bodies, &times(bodies.len())).unwrap();
    // an id of 62 random bits a line is 8 of about 150 bytes; plain zstd takes a quarter
    assert!(encoded.bytes.len() * 100 < text * 14, "{} of {text}", encoded.bytes.len());
    check(&bodies, &needles(&bodies, &[(7, 90, 20), (9, 30, 22), (100, 0, 23), (5, 60, 9)]));
}

#[test]
fn what_does_not_template_is_refused_or_comes_back() {
    let mut random = Random(11);
    let mut word = |len: u64| -> Vec<u8> { (0..len).map(|_| b'a' + random.below(26) as u8).collect() };
    let unique: Vec<Vec<u8>> = (0..6_000).map(|_| [word(9), word(7), word(12)].join(&b' ')).collect();
    assert!(encode(&unique, &times(unique.len())).is_none());
    let mut long = served(20);
    long.push(word(1 << 20));
    long.push(b"a=\"".repeat(1 << 18));
    long.push(b"\n".repeat(1 << 20));
    long.push(b"x1 ".repeat(1 << 18));
    check(&long, &[b"x1 x1".to_vec(), b"\n\n".to_vec(), b"=\"a".to_vec()]);
}

#[test]
fn no_damage_makes_a_reader_panic_or_answer_at_length() {
    let bodies = served(300);
    let times = times(bodies.len());
    let whole = encode(&bodies, &times).unwrap();
    let head = super::pack::decompress(&whole.bytes[..whole.head_bytes], whole.head_unpacked).unwrap();
    let mut random = Random(5);
    let (mut opened, mut read) = (0, 0);
    for _ in 0..3_000 {
        // checksums are made right again, so that what lies behind them is reached
        let mut head = head.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(head.len() as u64) as usize;
            head[at] = match random.below(3) {
                0 => head[at] ^ 1 << random.below(8),
                1 => random.below(256) as u8,
                _ => 0xff,
            };
        }
        let packed = zstd::bulk::compress(&head, 1).unwrap();
        let mut bytes = packed[4..].to_vec();
        let head_bytes = bytes.len();
        bytes.extend_from_slice(&whole.bytes[whole.head_bytes..]);
        let location = Location {
            at: 0,
            bytes: bytes.len(),
            head_bytes,
            head_unpacked: head.len(),
            head_crc: crc32c::crc32c(&bytes[..head_bytes]),
        };
        let records = |rows: Option<&[u32]>| Ok(chosen(&times, rows));
        let Ok(head) = BlockHead::read(&bytes, location) else { continue };
        let Ok(block) = Block::open(&bytes, location, Arc::new(head), &records) else { continue };
        opened += 1;
        if let Ok(texts) = block.bodies(None) {
            assert!(texts.all().len() <= super::MAX_TEXT);
            read += 1;
        }
        block.rows_with(&Needle::new(b"u12")).ok();
        block.rows_with(&Needle::new(b"12:00:")).ok();
        block.rows_with(&Needle::folded(b"level\":\"INFO")).ok();
    }
    assert!(opened > 100 && read > 10, "{opened} {read}");
}
