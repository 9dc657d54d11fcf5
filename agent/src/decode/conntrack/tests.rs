use super::{Dump, INTERRUPTED, NEW, Run, Translation, dump_request};

const SEQUENCE: u32 = 7;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn tuple(kind: u16, source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let ip = [attribute(1, &source), attribute(2, &destination)].concat();
    let protocol =
        [attribute(1, &[6]), attribute(2, &ports.0.to_be_bytes()), attribute(3, &ports.1.to_be_bytes())];
    attribute(
        0x8000 | kind,
        &[attribute(0x8000 | 1, &ip), attribute(0x8000 | 2, &protocol.concat())].concat(),
    )
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let (length, kind, sequence) = (length.to_ne_bytes(), kind.to_ne_bytes(), SEQUENCE.to_ne_bytes());
    [&length[..], &kind, &[0; 2], &sequence, &[0; 4], body].concat()
}

fn entry(status: u32) -> Vec<u8> {
    let body = [
        vec![2, 0, 0, 0],
        tuple(1, [10, 244, 0, 5], [10, 96, 0, 10], (40_000, 80)),
        tuple(2, [10, 244, 1, 7], [10, 244, 0, 5], (8_080, 40_000)),
        attribute(3, &status.to_be_bytes()),
        attribute(12, &77_u32.to_be_bytes()),
    ];
    message(NEW, &body.concat())
}

fn read(bytes: &[u8]) -> (Vec<Translation>, Run) {
    let mut found = Vec::new();
    let run = Dump::new(SEQUENCE).take(bytes, |translation| found.push(translation));
    (found, run)
}

#[test]
fn a_rewritten_destination_has_both_ends() {
    let bytes = [entry(0x1ae), entry(0x18e), message(3, &[0; 4])].concat();
    let (found, run) = read(&bytes);
    assert_eq!(run, Run::Done);
    let end = |address: &str, port| (address.parse().unwrap(), port);
    let expected = Translation {
        id: 77,
        protocol: 6,
        client: end("10.244.0.5", 40_000),
        asked: end("10.96.0.10", 80),
        real: end("10.244.1.7", 8_080),
    };
    // the second has no IPS_DST_NAT
    assert_eq!(found, [expected]);
}

#[test]
fn errors_and_torn_messages_end_the_run() {
    assert_eq!(read(&message(2, &(-1_i32).to_ne_bytes())).1, Run::Refused(1));
    assert_eq!(read(&message(2, &0_i32.to_ne_bytes())).1, Run::Done);
    let failed = [entry(0x1ae), message(3, &(-12_i32).to_ne_bytes())].concat();
    assert_eq!(read(&failed).1, Run::Refused(12), "a dump that failed half way");
    let whole = entry(0x1ae);
    for cut in 0..whole.len() {
        assert_eq!(read(&whole[..cut]), (Vec::new(), Run::Goes), "cut at {cut}");
    }
    let mut endless = whole;
    endless[..4].copy_from_slice(&0_u32.to_ne_bytes());
    assert_eq!(read(&endless).0, []);
}

#[test]
fn what_answers_another_request_is_passed_over() {
    let mut other = [entry(0x1ae), message(3, &[0; 4])].concat();
    let second = entry(0x1ae).len() + 8;
    other[8..12].copy_from_slice(&6_u32.to_ne_bytes());
    other[second..second + 4].copy_from_slice(&6_u32.to_ne_bytes());
    assert_eq!(read(&other), (Vec::new(), Run::Goes));
    let (found, run) = read(&[other, entry(0x1ae), message(3, &[0; 4])].concat());
    assert_eq!((found.len(), run), (1, Run::Done));
}

#[test]
fn a_table_that_changed_meanwhile_is_told() {
    let mut bytes = [entry(0x1ae), message(3, &[0; 4])].concat();
    let mut dump = Dump::new(SEQUENCE);
    assert_eq!((dump.take(&bytes, |_| ()), dump.is_interrupted), (Run::Done, false));
    bytes[6..8].copy_from_slice(&INTERRUPTED.to_ne_bytes());
    assert_eq!((dump.take(&bytes, |_| ()), dump.is_interrupted), (Run::Done, true));
}

#[test]
fn the_request_is_as_long_as_it_says() {
    let bytes = dump_request(9);
    assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
}
