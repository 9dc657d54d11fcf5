use super::super::tests::{Calls, Request, Response, check, exchanges, told};
use super::super::{Chunk, Names, Protocol, decoder_among};
use super::topics::{self, Ids};

const KAFKA: Protocol = Protocol::Kafka;

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn request(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let tags: &[u8] = if version >= super::apis::flexible_from(key) { &[0] } else { &[] };
    let client = b"\0\x05app-1";
    framed(&[&key.to_be_bytes(), &version.to_be_bytes(), &correlation.to_be_bytes(), client, tags, body])
}

fn answer(correlation: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&correlation.to_be_bytes(), body])
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn compact(text: &str) -> Vec<u8> {
    [&[text.len() as u8 + 1][..], text.as_bytes()].concat()
}

fn int(number: i32) -> [u8; 4] {
    number.to_be_bytes()
}

fn produce(version: i16, acks: i16, topics: &[&str]) -> Vec<u8> {
    let records = [b'R'; 20];
    let mut body = Vec::new();
    if version >= 9 {
        body.extend([&[0][..], &acks.to_be_bytes(), &int(30_000), &[topics.len() as u8 + 1]].concat());
        for topic in topics {
            body.extend(
                [compact(topic), vec![2], int(0).to_vec(), vec![21], records.to_vec(), vec![0, 0]].concat(),
            );
        }
        body.push(0);
    } else {
        let id: &[u8] = if version >= 3 { &[0xff, 0xff] } else { &[] };
        body.extend([id, &acks.to_be_bytes(), &int(30_000), &int(topics.len() as i32)].concat());
        for topic in topics {
            body.extend(
                [text(topic), int(1).to_vec(), int(0).to_vec(), int(20).to_vec(), records.to_vec()].concat(),
            );
        }
    }
    body
}

fn fetch(version: i16, topics: &[&str]) -> Vec<u8> {
    let mut body = [int(-1), int(500), int(1)].concat();
    if version >= 3 {
        body.extend(int(1 << 20));
    }
    if version >= 4 {
        body.push(1);
    }
    if version >= 7 {
        body.extend([int(9), int(3)].concat());
    }
    let flexible = version >= 12;
    body.extend(if flexible { vec![topics.len() as u8 + 1] } else { int(topics.len() as i32).to_vec() });
    for topic in topics {
        body.extend(if flexible { compact(topic) } else { text(topic) });
        body.extend(if flexible { vec![2] } else { int(1).to_vec() });
        let width = 16
            + if version >= 9 { 4 } else { 0 }
            + if version >= 12 { 4 } else { 0 }
            + if version >= 5 { 8 } else { 0 };
        body.extend(vec![0; width + if flexible { 2 } else { 0 }]);
    }
    body
}

#[test]
fn produce_and_fetch_by_topic_in_every_version() {
    for version in 0..=12 {
        let name = |topics: Option<topics::Topics>| topics.map(|topics| (topics.names, topics.count));
        let expect = Some((vec!["orders".to_owned(), "paid".to_owned()], 2));
        assert_eq!(
            name(topics::produce(&produce(version, 1, &["orders", "paid"]), version, &mut Ids::default())),
            expect,
            "{version}"
        );
        assert_eq!(
            name(topics::fetch(&fetch(version, &["orders", "paid"]), version, &mut Ids::default())),
            expect,
            "{version}"
        );
    }
}

#[test]
fn requests_are_paired_by_their_correlation_id() {
    let ask = [
        request(18, 3, 1, b"\x05java\x043.7\0"),
        request(0, 9, 2, &produce(9, -1, &["orders"])),
        request(0, 3, 3, &produce(3, 1, &["orders", "paid"])),
        request(1, 11, 4, &fetch(11, &["orders"])),
        request(1, 11, 5, &fetch(11, &[])),
        request(12, 4, 6, &[0]),
    ]
    .concat();
    // topics, a partition, its error, offset, time, log start, no errors of records, no message
    let produced =
        [&[0, 2][..], &compact("orders"), &[2], &int(0), &[0, 3], &[0; 24], &[1, 0, 0, 0], &int(0), &[0]]
            .concat();
    let fetched =
        [&int(0)[..], &[0, 0], &int(9), &int(1), &text("orders"), &int(1), &int(0), &[0, 6], &[0; 30]]
            .concat();
    let old = [&int(1)[..], &text("orders"), &int(1), &int(0), &[0, 0], &[0; 8], &[0; 8], &int(0)].concat();
    let answers = [
        answer(1, &[0, 0, 1, 0]),
        answer(3, &old),
        answer(2, &produced),
        answer(5, &[&int(0)[..], &[0, 0], &int(9), &int(0)].concat()),
        answer(4, &fetched),
        answer(6, &[0, 0, 0, 0, 0, 0, 27, 0]),
        answer(99, &[0; 9]),
    ]
    .concat();
    let of = |name: &str| format!("messaging.operation.name={name} messaging.client.id=app-1");
    let send = format!("{} messaging.operation.type=send", of("Produce"));
    let receive = format!(
        "Fetch orders {} messaging.operation.type=receive messaging.destination.name=orders",
        of("Fetch")
    );
    check(
        KAFKA,
        &[(Request, &ask), (Response, &answers)],
        &[
            &format!("ApiVersions {}", of("ApiVersions")),
            &format!("Produce {send} messaging.kafka.topics=orders,paid"),
            &format!(
                "Produce orders {send} messaging.destination.name=orders messaging.kafka.error_code=3 !UNKNOWN_TOPIC_OR_PARTITION"
            ),
            &receive,
            &format!("{receive} messaging.kafka.error_code=6 !NOT_LEADER_OR_FOLLOWER"),
            &format!("Heartbeat {} messaging.kafka.error_code=27 !REBALANCE_IN_PROGRESS", of("Heartbeat")),
        ],
    );
}

#[test]
fn who_wants_no_answer_gets_none() {
    let ask = request(0, 8, 2, &produce(8, 0, &["a"]));
    let found = exchanges(KAFKA, &[(Request, &ask)], usize::MAX);
    assert_eq!((found[0].name.as_str(), found[0].first_byte_ns, found[0].failed), ("Produce a", None, false));
}

#[test]
fn heads_that_were_cut() {
    let large = request(0, 9, 7, &[produce(9, 1, &["orders"]), vec![0; 5_000]].concat());
    let answered = answer(7, &[0; 4_000]);
    let calls: &Calls<'_> = &[
        (Request, &large),
        (Response, &answered[..50]),
        (Response, &answered[50..]),
        (Request, &request(3, 1, 8, &int(0))),
        (Response, &answer(8, &[0; 20])),
    ];
    let told = told(KAFKA, calls, 64);
    assert!(told[0].starts_with("Produce orders ") && told[1].starts_with("Metadata "), "{told:?}");
    let times: Vec<_> =
        exchanges(KAFKA, calls, 64).iter().map(|one| (one.start_ns, one.first_byte_ns, one.end_ns)).collect();
    assert_eq!(times, [(0, Some(1), 2), (3, Some(4), 4)]);
}

#[test]
fn what_is_no_kafka_is_passed_over() {
    check(
        KAFKA,
        &[(Request, &[0xff; 64]), (Response, &[0xfe; 64]), (Request, b"GET / HTTP/1.1\r\n\r\n")],
        &[],
    );
}

#[test]
fn ids_of_topics_are_known_once_metadata_has_told_them() {
    let broker = [&int(1)[..], &compact("kafka.example"), &int(9_092), &[0, 0]].concat();
    let partition = [&[0, 0][..], &int(0), &int(1), &int(0), &[2], &int(1), &[2], &int(1), &[1, 0]].concat();
    let topic = |name: &str, id: u8| {
        [&[0, 0][..], &compact(name), &[id; 16], &[0, 2], &partition, &int(-1), &[0]].concat()
    };
    let metadata = [
        &[0][..],
        &int(0),
        &[2],
        &broker,
        &compact("cluster"),
        &int(1),
        &[3],
        &topic("orders", 7),
        &topic("paid", 8),
        &[0],
    ]
    .concat();
    let by_id = |id: u8| {
        let partition = [&int(0)[..], &int(0), &[0; 8], &int(0), &[0; 8], &int(1 << 20), &[0]].concat();
        [
            &int(-1)[..],
            &int(500),
            &int(1),
            &int(1 << 20),
            &[0],
            &int(0),
            &int(-1),
            &[2],
            &[id; 16],
            &[2],
            &partition,
            &[0, 1, 1, 0],
        ]
        .concat()
    };
    let ask = [
        request(1, 13, 1, &by_id(8)),
        request(3, 12, 2, &[0, 1, 0, 0]),
        request(1, 13, 3, &by_id(8)),
        request(1, 13, 4, &by_id(9)),
    ];
    // The head of the answer has its tags before the body; what `metadata` begins with are those.
    let answers = [answer(1, &[0; 30]), answer(2, &metadata), answer(3, &[0; 30]), answer(4, &[0; 30])];
    let mut calls = Vec::new();
    for (ask, answer) in ask.iter().zip(&answers) {
        calls.extend([(Request, ask.as_slice()), (Response, answer.as_slice())]);
    }
    let names: Vec<_> =
        exchanges(KAFKA, &calls, usize::MAX).into_iter().map(|exchange| exchange.name).collect();
    assert_eq!(names, ["Fetch", "Metadata", "Fetch paid", "Fetch"]);
    // another connection of the node knows them from there
    let known = Names::default();
    let mut said = Vec::new();
    for (mut decoder, calls) in
        [(decoder_among(KAFKA, &known), &calls[2..4]), (decoder_among(KAFKA, &known), &calls[..2])]
    {
        for (direction, bytes) in calls {
            let total = bytes.len() as u64;
            let chunk = Chunk { direction: *direction, ts_ns: 0, bytes, total, gap: false };
            decoder.chunk(&chunk, &mut said);
        }
    }
    assert_eq!(
        said.iter().map(|exchange| exchange.name.as_str()).collect::<Vec<_>>(),
        ["Metadata", "Fetch paid"]
    );
}
