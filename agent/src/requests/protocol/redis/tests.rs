use super::super::Protocol;
use super::super::tests::{Calls, Request, Response, check, exchanges, told};

const REDIS: Protocol = Protocol::Redis;

fn command(words: &[&str]) -> Vec<u8> {
    let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    let count = words.matches("\r\n").count() / 2;
    format!("*{count}\r\n{words}").into_bytes()
}

fn expect(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| match name.split_once('!') {
            Some((name, code)) => {
                format!("{name} db.operation.name={name} db.response.status_code={code} !{code}")
            }
            None => format!("{name} db.operation.name={name}"),
        })
        .collect()
}

#[track_caller]
fn is(calls: &Calls<'_>, names: &[&str]) {
    let expect = expect(names);
    check(REDIS, calls, &expect.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn commands_have_a_name_and_nothing_else() {
    is(
        &[
            (Request, &command(&["set", "secret", "SECRET\r\n"])),
            (Response, b"+OK\r\n"),
            (Request, &command(&["GET", "secret"])),
            (Response, b"$6\r\nSECRET\r\n"),
            (Request, &command(&["AUTH", "secret"])),
            (Response, b"-WRONGPASS invalid username secret\r\n"),
            (Request, &command(&["Config", "get", "secret"])),
            (Response, b"*0\r\n"),
            (Request, &command(&["client", "secret"])),
            (Response, b"-ERR unknown subcommand\r\n"),
            (Request, &command(&["ft.search", "i"])),
            (Response, b"$-1\r\n"),
        ],
        &["SET", "GET", "AUTH!WRONGPASS", "CONFIG GET", "CLIENT!ERR", "FT.SEARCH"],
    );
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let ask =
        [command(&["MULTI"]), command(&["INCR", "a"]), command(&["LPUSH", "b", "c"]), command(&["EXEC"])]
            .concat();
    let answer = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-WRONGTYPE Operation\r\n";
    is(&[(Request, &ask), (Response, answer)], &["MULTI", "INCR", "LPUSH", "EXEC"]);
}

#[test]
fn answers_of_resp3() {
    let ask = [
        command(&["HELLO", "3"]),
        command(&["SMEMBERS", "a"]),
        command(&["GET", "a"]),
        command(&["EVAL", "s"]),
    ]
    .concat();
    let answer =
        b"%2\r\n+server\r\n$5\r\nredis\r\n+modules\r\n*1\r\n*0\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n\
                   |1\r\n+ttl\r\n:3\r\n~2\r\n:1\r\n#t\r\n_\r\n!9\r\nERR wrong\r\n";
    is(&[(Request, &ask), (Response, answer)], &["HELLO", "SMEMBERS", "GET", "EVAL!ERR"]);
}

#[test]
fn inline_commands_are_those_that_people_type() {
    is(
        &[
            (Request, b"PING\r\n"),
            (Response, b"+PONG\r\n"),
            (Request, b"\r\nget secret\r\n"),
            (Response, b"$-1\r\n"),
        ],
        &["PING", "GET"],
    );
    let calls: &Calls<'_> =
        &[(Request, b"something else\r\n"), (Request, b"PING\r\n"), (Response, b"+PONG\r\n")];
    assert_eq!(told(REDIS, calls, usize::MAX), ["PING db.operation.name=PING +"]);
}

#[test]
fn who_wants_no_answers_gets_none() {
    let ask = [
        command(&["CLIENT", "REPLY", "SKIP"]),
        command(&["SET", "a", "b"]),
        command(&["GET", "a"]),
        command(&["CLIENT", "REPLY", "OFF"]),
        command(&["SET", "a", "b"]),
        command(&["CLIENT", "REPLY", "ON"]),
        command(&["TTL", "a"]),
    ]
    .concat();
    is(&[(Request, &ask), (Response, b"$1\r\nb\r\n+OK\r\n:-1\r\n")], &["GET", "CLIENT REPLY", "TTL"]);
}

#[test]
fn heads_that_were_cut() {
    let large = "x".repeat(5_000);
    let ask = command(&["SET", "a", &large]);
    let answer = format!("$5000\r\n{large}\r\n");
    let many = format!("*2\r\n$3\r\nabc\r\n{answer}");
    let calls: &Calls<'_> = &[
        (Request, &ask),
        (Response, b"+OK\r\n"),
        (Request, &command(&["GET", "a"])),
        (Response, answer.as_bytes()),
        (Request, &command(&["MGET", "a", "b"])),
        (Response, many.as_bytes()),
        (Request, &command(&["PING"])),
        (Response, b"+PONG\r\n"),
    ];
    assert_eq!(told(REDIS, calls, 100), expect(&["SET", "GET", "MGET", "PING"]));
    let times: Vec<_> =
        exchanges(REDIS, calls, 100).iter().map(|one| (one.first_byte_ns, one.end_ns)).collect();
    assert_eq!(times, [(Some(1), 1), (Some(3), 3), (Some(5), 5), (Some(7), 7)]);
}

#[test]
fn what_is_no_redis_is_passed_over() {
    is(&[(Request, &[0xff; 64]), (Response, &[0xfe; 64])], &[]);
    let deep = b"*1\r\n".repeat(40);
    assert_eq!(
        told(REDIS, &[(Response, &deep), (Request, b"*-9\r\n"), (Request, b"*99999999999999\r\n")], 1_000),
        [""; 0]
    );
}

#[test]
fn a_pipeline_longer_than_what_is_kept() {
    let ask = command(&["PING"]).repeat(3_000);
    let answer = b"+PONG\r\n".repeat(3_000);
    let one = command(&["GET", "a"]);
    let found = exchanges(
        REDIS,
        &[(Request, &ask), (Response, &answer), (Request, &one), (Response, b"$-1\r\n")],
        usize::MAX,
    );
    assert_eq!((found.len(), found[0].at_least), (super::MAX_PENDING + 1, true));
    assert_eq!(found[super::MAX_PENDING].name, "GET");
}

#[test]
fn a_pipeline_whose_answers_were_cut_leaves_nothing_behind() {
    let ask = [command(&["GET", "a"]), command(&["GET", "b"]), command(&["INCR", "c"])].concat();
    let long = format!("$90\r\n{}\r\n", "x".repeat(90));
    let answers = format!("{long}{long}:1\r\n");
    let one = command(&["DEL", "a"]);
    let calls: &Calls<'_> =
        &[(Request, &ask), (Response, answers.as_bytes()), (Request, &one), (Response, b"-ERR no\r\n")];
    // the second answer's head is behind the cut
    let found = told(REDIS, calls, 100);
    assert_eq!(
        found,
        [
            "GET db.operation.name=GET",
            "GET db.operation.name=GET +",
            "INCR db.operation.name=INCR ? +",
            "DEL db.operation.name=DEL db.response.status_code=ERR !ERR",
        ]
    );
    let times: Vec<_> = exchanges(REDIS, calls, 100).iter().map(|one| one.end_ns).collect();
    assert_eq!(times, [1, 1, 1, 3]);
    // commands behind a cut are not known, and their answers belong to nobody
    let calls: &Calls<'_> = &[
        (Request, &command(&["INCR", "abcdefgh"]).repeat(8)),
        (Response, b":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n"),
        (Request, &one),
        (Response, b"-ERR no\r\n"),
    ];
    let found = told(REDIS, calls, 100);
    assert_eq!(found.last().unwrap(), "DEL db.operation.name=DEL db.response.status_code=ERR !ERR");
}
