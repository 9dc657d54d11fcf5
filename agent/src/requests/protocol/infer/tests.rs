use super::super::tests::{Request, Response};
use super::super::{Direction, Protocol};
use super::infer;

#[track_caller]
fn is(bytes: &[u8], expect: Option<(Protocol, Direction)>) {
    assert_eq!(infer(bytes), expect, "{}", bytes.escape_ascii());
}

#[test]
fn first_bytes_of_each_protocol() {
    is(b"GET / HTTP/1.1\r\n", Some((Protocol::Http1, Request)));
    is(b"CONNECT a:1 HTTP/1.1\r\n", Some((Protocol::Http1, Request)));
    is(b"HTTP/1.1 200 OK\r\n", Some((Protocol::Http1, Response)));
    is(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some((Protocol::Http2, Request)));
    is(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 128], Some((Protocol::Http2, Response)));
    is(&[0, 0, 9, 1, 4, 0, 0, 0, 7, 0x83, 0x86, 0xc0], Some((Protocol::Http2, Request)));
    is(&[0, 0, 9, 1, 4, 0, 0, 0, 7, 0x88, 0xc1, 0xc0], Some((Protocol::Http2, Response)));
    is(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", Some((Protocol::Redis, Request)));
    is(b"+OK\r\n", Some((Protocol::Redis, Response)));
    is(b"-ERR unknown\r\n", Some((Protocol::Redis, Response)));
    is(b"\0\0\0\x08\x04\xd2\x16\x2f", Some((Protocol::Postgres, Request)));
    is(b"\0\0\0\x0e\0\x03\0\0user\0a\0\0", Some((Protocol::Postgres, Request)));
    is(b"Q\0\0\0\x0dSELECT 1\0", Some((Protocol::Postgres, Request)));
    is(b"P\0\0\0\x11s\0SELECT 1\0\0\0B\0\0\0\x10", Some((Protocol::Postgres, Request)));
    is(b"R\0\0\0\x08\0\0\0\0S\0\0\0", Some((Protocol::Postgres, Response)));
    is(b"Z\0\0\0\x05I", Some((Protocol::Postgres, Response)));
    is(b"1\0\0\0\x042\0\0\0\x04", Some((Protocol::Postgres, Response)));
    is(b"\x09\0\0\0\x03SELECT 1", Some((Protocol::Mysql, Request)));
    is(b"\x01\0\0\0\x0e", Some((Protocol::Mysql, Request)));
    let greeting = [b"\x4a\0\0\0\x0a8.0.36\0".as_slice(), &[7; 66]].concat();
    is(&greeting, Some((Protocol::Mysql, Response)));
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01";
    is(question, Some((Protocol::Dns, Request)));
    is(&[b"\0\x17".as_slice(), question].concat(), Some((Protocol::Dns, Request)));
    is(
        b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01\xc0\x0c",
        Some((Protocol::Dns, Response)),
    );
    is(b"\0\0\0\x12\0\x12\0\0\0\0\0\x01\0\x05app-1\0\0\0", Some((Protocol::Kafka, Request)));
}

#[test]
fn anything_else_is_not_guessed() {
    is(b"", None);
    is(&[0; 64], None);
    is(&[0xff; 64], None);
    is(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", None);
    is(b"SSH-2.0-OpenSSH_9.2\r\n", None);
    is(b"GETTING started", None);
    is(b"Query me this, and Quickly", None);
    is(b"220 mail.example.org ESMTP\r\n", None);
    is(b"{\"json\": true}", None);
    is(b"*not redis", None);
    is(b"\x00\x00\x00\x2a\x00\x01\x02\x03", None);
}
