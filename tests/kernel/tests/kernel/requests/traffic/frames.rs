//! HTTP/2 by hand: many streams in one call.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use super::{connect, listen};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams that are asked one after the other in one call: what is read where the kernel makes no loops (5.17), and where it
/// does.
pub(super) const FEW: u32 = 36;
pub(super) const MANY: u32 = 400;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /ok`, without any table, with a header that nobody reads.
fn ask(stream: u32) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x04, 3][..], b"/ok", &[0, 2], b"x-", &[120], &[b'x'; 120]].concat();
    frame(1, 5, stream, &block)
}

/// A status, and a body behind it: 200, or 500 where the second of two asks.
fn answer(stream: u32) -> [Vec<u8>; 2] {
    let status = if stream % 4 == 1 { 0x88 } else { 0x8e };
    let head = [&[status, 0, 2][..], b"x-", &[120], &[b'x'; 120]].concat();
    [frame(1, 4, stream, &head), frame(0, 1, stream, &[0; 300])]
}

fn take(stream: &mut TcpStream, length: usize) {
    stream.read_exact(&mut vec![0; length]).unwrap();
}

/// So many connections, on each of which one call asks for all and one answers all, from a vector of frames.
pub(super) fn many(number: usize, streams: u32) {
    let (listener, address) = listen();
    let asked: Vec<u8> = [PREFACE.to_vec(), frame(4, 0, 0, &[])]
        .into_iter()
        .chain((0..streams).map(|n| ask(n * 2 + 1)))
        .flatten()
        .collect();
    let answers: Vec<Vec<u8>> =
        std::iter::once(frame(4, 0, 0, &[])).chain((0..streams).flat_map(|n| answer(n * 2 + 1))).collect();
    let length: usize = answers.iter().map(Vec::len).sum();
    let to_read = asked.len();
    let serving = thread::spawn(move || {
        for _ in 0..number {
            let (mut stream, _) = listener.accept().unwrap();
            take(&mut stream, to_read);
            let slices: Vec<IoSlice<'_>> = answers.iter().map(|one| IoSlice::new(one)).collect();
            assert_eq!(stream.write_vectored(&slices).unwrap(), length);
            // until the other end has gone
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    });
    for _ in 0..number {
        let mut stream = connect(address);
        stream.write_all(&asked).unwrap();
        take(&mut stream, length);
    }
    serving.join().unwrap();
}
