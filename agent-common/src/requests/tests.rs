//! Inference on what real clients and servers say first.

use super::infer::{Guess, dns, infer, is_tls};
use super::{
    HEAD_LEN, HTTP1, HTTP2, IN, KAFKA, MYSQL, OUT, POSTGRES, REDIS, ROLE_CLIENT, ROLE_SERVER, TLS, UNKNOWN,
    is_request, role_of,
};

fn head(bytes: &[u8]) -> ([u8; HEAD_LEN], u32) {
    let mut head = [0; HEAD_LEN];
    let length = bytes.len().min(HEAD_LEN);
    head[..length].copy_from_slice(&bytes[..length]);
    (head, length as u32)
}

fn guess(bytes: &[u8]) -> Guess {
    let (head, length) = head(bytes);
    infer(&head, length, bytes.len() as u64, |value| value)
}

#[track_caller]
fn check(bytes: &[u8], protocol: u8, request: bool) {
    let guess = guess(bytes);
    assert_eq!(guess.protocol(), protocol, "{bytes:?}");
    assert_eq!((guess.is_request(), guess.is_response()), (request, !request), "{bytes:?}");
}

#[test]
fn first_bytes_name_the_protocol() {
    check(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", HTTP1, true);
    check(b"DELETE /a HTTP/1.1\r\n", HTTP1, true);
    check(b"HTTP/1.0 404 Not Found\r\n", HTTP1, false);
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2, true);
    check(b"*1\r\n$4\r\nPING\r\n", REDIS, true);
    check(b"*12\r\n$4\r\nMSET\r\n", REDIS, true);
    check(b"+OK\r\n", REDIS, false);
    check(b"-ERR unknown command\r\n", REDIS, false);
    check(b"\0\0\0\x08\x04\xd2\x16\x2f", POSTGRES, true);
    check(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0", POSTGRES, true);
    check(b"Q\0\0\0\x0dSELECT 1\0", POSTGRES, true);
    check(b"P\0\0\0\x10\0SELECT 1\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0S\0\0\0\x04", POSTGRES, true);
    check(b"\x09\0\0\0\x03SELECT 1", MYSQL, true);
    check(b"\x01\0\0\0\x0e", MYSQL, true);
    let mut greeting = b"\x4a\0\0\0\x0a8.0.36\0".to_vec();
    greeting.resize(78, 7);
    check(&greeting, MYSQL, false);
    check(b"\0\0\0\x13\0\x12\0\x03\0\0\0\x01\0\x07console\0\0", KAFKA, true);
}

#[test]
fn what_is_not_spoken_here_is_not_guessed() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.7\r\n"[..],
        b"",
        b"G",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"hello world, here",
    ] {
        assert_eq!(guess(bytes).protocol(), UNKNOWN, "{bytes:?}");
    }
    assert_eq!(guess(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").protocol(), TLS);
    assert!(is_tls(&head(b"\x17\x03\x03\0\x20").0, 5, |value| value));
    // what nginx says before it has read the preface
    let settings = guess(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0");
    assert_eq!(settings.protocol(), HTTP2);
    // headers of an HTTP/2 stream, mid-connection: the side is open
    let frame = guess(b"\0\0\x05\x01\x05\0\0\0\x03\x82\x87\x84\x86\x41");
    assert_eq!((frame.protocol(), frame.is_request(), frame.is_response()), (HTTP2, false, false));
}

#[test]
fn a_datagram_of_dns_is_known_by_its_header() {
    let query = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    let (first, length) = head(query);
    assert!(dns(&first, length, query.len() as u64, |value| value).is_request());
    let mut answer = *query;
    answer[2] = 0x81;
    answer[7] = 1;
    let (first, length) = head(&answer);
    assert!(dns(&first, length, 40, |value| value).is_response());
    let (first, length) = head(b"\xc3\x00\x00\x00\x01\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\0\0\x44\x9e");
    assert_eq!(dns(&first, length, 1200, |value| value), Guess::NOTHING, "QUIC");
}

#[test]
fn sides_follow_from_directions_and_back() {
    for direction in [IN, OUT] {
        for request in [false, true] {
            assert_eq!(is_request(role_of(direction, request), direction), request);
        }
    }
    assert_eq!((role_of(OUT, true), role_of(IN, true)), (ROLE_CLIENT, ROLE_SERVER));
}
