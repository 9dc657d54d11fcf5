//! Several messages in one call (`sendmmsg`), on a connection and as datagrams.

use std::io::{BufReader, Write as _};
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::thread;

use super::{ask, connect, one_server, read_answer, request, whole};

/// Datagrams of one call.
const DATAGRAMS: u16 = 12;

/// Sends all in one call.
fn send(socket: &impl AsRawFd, messages: &[Vec<u8>]) {
    let mut parts: Vec<libc::iovec> = messages
        .iter()
        .map(|one| libc::iovec { iov_base: one.as_ptr().cast_mut().cast(), iov_len: one.len() })
        .collect();
    let head = |part: &mut libc::iovec| {
        // SAFETY: nothing is a message without a name.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_name = null_mut();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    };
    let mut heads: Vec<_> = parts.iter_mut().map(head).collect();
    // SAFETY: as many messages, which live until the call ends.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), heads.as_mut_ptr(), heads.len() as u32, 0) };
    assert_eq!(sent, messages.len() as i32);
}

/// So many times a request alone, two in one call, and one alone.
pub(super) fn stream(number: usize) {
    let (address, server) = one_server(whole);
    let mut reader = BufReader::new(connect(address));
    for _ in 0..number {
        ask(&mut reader, "/ok");
        send(reader.get_ref(), &[request("/missing").into_bytes(), request("/missing").into_bytes()]);
        read_answer(&mut reader);
        read_answer(&mut reader);
        ask(&mut reader, "/ok");
    }
    reader.get_mut().flush().unwrap();
    drop(reader);
    server.join().unwrap();
}

fn question(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut bytes = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(b"\x04wake\x07example\0\0\x01\0\x01");
    bytes
}

/// So many times twelve questions in one call, each of which is answered; and as many datagrams of another kind.
pub(super) fn datagrams(number: usize) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let served = thread::spawn(move || {
        for _ in 0..number {
            for _ in 0..DATAGRAMS {
                let mut bytes = [0; 512];
                let (length, from) = server.recv_from(&mut bytes).unwrap();
                bytes[2] |= 0x80;
                server.send_to(&bytes[..length], from).unwrap();
            }
            for _ in 0..DATAGRAMS {
                server.recv_from(&mut [0; 512]).unwrap();
            }
        }
    });
    for round in 0..number as u16 {
        let all: Vec<_> = (0..DATAGRAMS).map(|place| question(round * DATAGRAMS + place)).collect();
        send(&client, &all);
        for _ in 0..DATAGRAMS {
            client.recv(&mut [0; 512]).unwrap();
        }
        send(&client, &vec![b"measured:1|c".to_vec(); usize::from(DATAGRAMS)]);
    }
    served.join().unwrap();
}
