use super::super::Protocol;
use super::super::tests::{Calls, Request, Response, check, exchanges, told};

const DNS: Protocol = Protocol::Dns;

fn message(id: u16, flags: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = [id.to_be_bytes(), flags.to_be_bytes(), [0, 1], [0, 0], [0, 0], [0, 1]].concat();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
    // EDNS, as resolvers send it.
    bytes.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn expect(name: &str, kind: &str, transport: &str, rest: &str) -> String {
    format!(
        "DNS {kind} dns.question.name={name} dns.question.type={kind} network.transport={transport} {rest}"
    )
}

#[test]
fn datagrams_are_paired_by_their_id() {
    let calls: &Calls<'_> = &[
        (Request, &message(7, 0x0100, "Shop.Example.org", 1)),
        (Request, &message(8, 0x0100, "shop.example.org", 28)),
        (Request, &message(7, 0x0100, "Shop.Example.org", 1)),
        (Response, &message(8, 0x8183, "shop.example.org", 28)),
        (Response, &message(7, 0x8180, "other.example.org", 1)),
        (Response, &message(7, 0x8180, "shop.example.org", 1)),
        (Request, &message(9, 0x0100, "", 2)),
        (Response, &message(9, 0x8382, "", 2)),
        (Request, &message(10, 0x0120, "_http._tcp.a", 33)),
    ];
    assert_eq!(
        told(DNS, calls, usize::MAX),
        [
            expect("shop.example.org", "AAAA", "udp", "dns.response_code=NXDOMAIN ~NXDOMAIN"),
            expect("shop.example.org", "A", "udp", "dns.response_code=NOERROR"),
            expect(".", "NS", "udp", "dns.response_code=SERVFAIL dns.truncated=true !SERVFAIL"),
            expect("_http._tcp.a", "SRV", "udp", "!no_response"),
        ]
    );
    let found = exchanges(DNS, calls, usize::MAX);
    assert_eq!(
        (found[1].start_ns, found[1].first_byte_ns, found[1].end_ns),
        (0, Some(5), 5),
        "the first try counts"
    );
}

#[test]
fn a_stream_has_lengths() {
    let ask = [framed(&message(1, 0x0100, "a.b", 1)), framed(&message(2, 0x0100, "c.d", 16))].concat();
    let answer = [
        framed(&message(2, 0x8180, "c.d", 16)),
        framed(&[message(1, 0x8185, "a.b", 1), vec![7; 900]].concat()),
    ]
    .concat();
    check(
        DNS,
        &[(Request, &ask[..30]), (Request, &ask[30..]), (Response, &answer)],
        &[
            &expect("c.d", "TXT", "tcp", "dns.response_code=NOERROR"),
            &expect("a.b", "A", "tcp", "dns.response_code=REFUSED !REFUSED"),
        ],
    );
}

#[test]
fn what_is_no_dns_is_passed_over() {
    let wrong: [&[u8]; 5] = [
        &[0; 12],
        &[0xff; 60],
        b"GET / HTTP/1.1\r\n\r\n",
        &message(1, 0x2800, "a", 1),
        &message(1, 0x8180, "a", 1),
    ];
    for bytes in wrong {
        assert_eq!(told(DNS, &[(Request, bytes), (Response, bytes)], usize::MAX), [""; 0]);
    }
    let name = "secret\u{1}\u{7f}.x";
    let told = told(DNS, &[(Request, &message(1, 0, name, 1))], usize::MAX);
    assert_eq!(told, [expect("secret??.x", "A", "udp", "!no_response")]);
}
