use super::super::{Chunk, Direction};
use super::{Event, Frames, Head};

/// A byte of length, then as many bytes; all of it is wanted up to four bytes.
fn head(bytes: &[u8], _unsure: bool) -> Head {
    match bytes {
        [] => Head::Short,
        [0xff, ..] => Head::Wrong,
        [len, ..] => Head::Frame { len: u64::from(*len) + 1, want: 4 },
    }
}

fn read(frames: &mut Frames, bytes: &[u8], total: u64, gap: bool) -> Vec<String> {
    frames.push(&Chunk { direction: Direction::Request, ts_ns: 0, bytes, total, gap });
    let mut told = Vec::new();
    while let Some(event) = frames.next(head) {
        told.push(match event {
            Event::Frame { bytes, cut: false, .. } => String::from_utf8_lossy(&bytes[1..]).into_owned(),
            Event::Frame { bytes, cut: true, .. } => format!("{}…", String::from_utf8_lossy(&bytes[1..])),
            Event::Lost => "lost".to_owned(),
        });
    }
    told
}

#[test]
fn frames_come_out_however_the_calls_were_made() {
    let stream = b"\x03abc\x00\x02de";
    let mut frames = Frames::default();
    assert_eq!(read(&mut frames, stream, 8, false), ["abc", "", "de"]);
    let mut frames = Frames::default();
    let mut told = Vec::new();
    for byte in stream {
        told.extend(read(&mut frames, &[*byte], 1, false));
    }
    assert_eq!(told, ["abc", "", "de"]);
}

#[test]
fn what_is_not_wanted_is_passed_over_also_behind_a_cut() {
    let mut frames = Frames::default();
    assert_eq!(read(&mut frames, b"\x0aabcde", 6, false), ["abcde"]);
    assert_eq!(read(&mut frames, b"fgh", 3, false), [""; 0]);
    assert_eq!(read(&mut frames, b"ij\x01k", 4, false), ["k"]);
    assert_eq!(read(&mut frames, b"\x0aabcde", 11, false), ["abcde"], "the rest was of the frame");
    assert_eq!(read(&mut frames, b"\x01k", 2, false), ["k"]);
    assert_eq!(read(&mut frames, b"\x05a", 9, false), ["a…", "lost"], "three bytes are of nobody");
    assert_eq!(
        read(&mut frames, b"\xff", 1, false),
        [""; 0],
        "no frame begins here, which was not known anyhow"
    );
    assert_eq!(read(&mut frames, b"\x01k", 2, false), ["k"]);
    assert_eq!(read(&mut frames, b"\xff", 1, false), ["lost"]);
}

#[test]
fn a_gap_ends_what_was_open() {
    let mut frames = Frames::default();
    assert_eq!(read(&mut frames, b"\x0aabcde", 6, false), ["abcde"]);
    assert_eq!(read(&mut frames, b"\x01k", 2, true), ["lost", "k"]);
}

#[test]
fn a_frame_began_with_its_first_byte() {
    let mut frames = Frames::default();
    let mut began = Vec::new();
    for (ts_ns, bytes) in [(1, &b"\x02a"[..]), (5, b"b\x02c"), (9, b"d")] {
        frames.push(&Chunk {
            direction: Direction::Request,
            ts_ns,
            bytes,
            total: bytes.len() as u64,
            gap: false,
        });
        while let Some(event) = frames.next(head) {
            began.extend(match event {
                Event::Frame { began, .. } => Some(began),
                Event::Lost => None,
            });
        }
    }
    assert_eq!(began, [1, 5]);
}
