use super::super::tests::{Calls, Request, Response, check, exchanges, told};
use super::super::{Chunk, Protocol, decoder};

const PG: Protocol = Protocol::Postgres;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    message(b'B', &[portal.as_bytes(), b"\0", name.as_bytes(), b"\0\0\0\0\x01\0\0\0\x06secret\0\0"].concat())
}

fn execute() -> Vec<u8> {
    message(b'E', b"\0\0\0\0\0")
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"].concat())
}

fn error(state: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{state}\0Mduplicate key secret\0\0");
    message(b'E', fields.as_bytes())
}

fn row(len: usize) -> Vec<u8> {
    message(b'D', &[&[0, 1][..], &(len as u32).to_be_bytes(), &vec![b'Z'; len]].concat())
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0ann\0database\0shop\0application_name\0x\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

#[test]
fn simple_queries() {
    let ask = query("SELECT * FROM users WHERE name = 'secret' AND id = 7 -- why");
    let answer = [message(b'T', b"\0\0"), row(3), row(200), complete("SELECT 2"), ready()].concat();
    let two = query("BEGIN; UPDATE t SET a = 1");
    let answers = [complete("BEGIN"), message(b'N', b"SNOTICE\0\0"), complete("UPDATE 1"), ready()].concat();
    let empty = [message(b'I', b""), ready()].concat();
    check(
        PG,
        &[
            (Request, &ask),
            (Response, &answer),
            (Request, &two),
            (Response, &answers),
            (Request, &query("")),
            (Response, &empty),
        ],
        &[
            "SELECT users db.operation.name=SELECT db.query.summary=SELECT users db.query.text=SELECT * FROM users WHERE name = ? AND id = ?",
            "BEGIN UPDATE t db.operation.name=BEGIN db.query.summary=BEGIN UPDATE t db.query.text=BEGIN; UPDATE t SET a = ?",
            "QUERY",
        ],
    );
}

#[test]
fn the_trace_in_a_comment() {
    let ask =
        query("SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',x='y'*/");
    let found = exchanges(PG, &[(Request, &ask)], usize::MAX);
    assert_eq!(found[0].trace.map(|trace| trace.span_id[7]), Some(0xb7));
    assert_eq!(found[0].attribute("db.query.text"), Some("SELECT ?"));
}

#[test]
fn a_login_gives_the_database_and_no_exchange() {
    let login =
        [message(b'R', &[0, 0, 0, 0]), message(b'S', b"a\0b\0"), message(b'K', &[0; 8]), ready()].concat();
    check(
        PG,
        &[
            (Request, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
            (Response, b"N"),
            (Request, &startup()),
            (Response, &message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4])),
            (Request, &message(b'p', b"md5secret\0")),
            (Response, &login),
            (Request, &query("SELECT 1")),
            (Response, &[complete("SELECT 1"), ready()].concat()),
            (Request, &message(b'X', b"")),
        ],
        &["SELECT db.namespace=shop db.operation.name=SELECT db.query.summary=SELECT db.query.text=SELECT ?"],
    );
    check(
        PG,
        &[(Request, &startup()), (Response, &error("28P01"))],
        &["CONNECT db.namespace=shop db.response.status_code=28P01 !28P01"],
    );
}

#[test]
fn what_is_encrypted_is_left_alone() {
    let calls: &Calls<'_> = &[
        (Request, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
        (Response, b"S"),
        (Request, b"\x16\x03\x01\x02\0Q\0\0\0\x09SELECT\0"),
        (Response, b"\x16\x03\x03\0"),
    ];
    check(PG, calls, &[]);
}

#[test]
fn prepared_statements_keep_their_text() {
    let first = [parse("s1", "SELECT a FROM t WHERE b = $1"), message(b'D', b"Ss1\0"), sync()].concat();
    let first_answer = [message(b'1', b""), message(b't', b"\0\0"), message(b'n', b""), ready()].concat();
    let again = [bind("", "s1"), execute(), sync()].concat();
    let rows = [message(b'2', b""), row(5), complete("SELECT 1"), ready()].concat();
    let unnamed =
        [parse("", "DELETE FROM t"), bind("", ""), message(b'D', b"P\0"), execute(), sync()].concat();
    let denied =
        [message(b'1', b""), message(b'2', b""), message(b'n', b""), error("42501"), ready()].concat();
    let close = [message(b'C', b"Ss1\0"), sync()].concat();
    let closed = [message(b'3', b""), ready()].concat();
    let select =
        "db.operation.name=SELECT db.query.summary=SELECT t db.query.text=SELECT a FROM t WHERE b = ?";
    let bound = [message(b'2', b""), complete("SELECT 1"), ready()].concat();
    check(
        PG,
        &[
            (Request, &first),
            (Response, &first_answer),
            (Request, &again),
            (Response, &rows),
            (Request, &unnamed),
            (Response, &denied),
            (Request, &close),
            (Response, &closed),
            (Request, &again),
            (Response, &bound),
        ],
        &[
            &format!("PREPARE SELECT t {select}"),
            &format!("SELECT t {select}"),
            "DELETE t db.operation.name=DELETE db.query.summary=DELETE t db.query.text=DELETE FROM t db.response.status_code=42501 !42501",
            "CLOSE",
            "EXECUTE",
        ],
    );
}

#[test]
fn a_pipeline_fails_up_to_its_sync() {
    let run = |table: &str| {
        [parse("", &format!("INSERT INTO {table} VALUES ($1)")), bind("", ""), execute()].concat()
    };
    let ask = [run("a"), run("b"), run("c"), sync(), run("d"), sync()].concat();
    let good = [message(b'1', b""), message(b'2', b""), complete("INSERT 0 1")].concat();
    let answer = [good.clone(), message(b'1', b""), error("23505"), ready(), good, ready()].concat();
    let insert = |table: &str| {
        format!(
            "INSERT {table} db.operation.name=INSERT db.query.summary=INSERT {table} db.query.text=INSERT INTO {table} VALUES (?)"
        )
    };
    check(
        PG,
        &[(Request, &ask), (Response, &answer)],
        &[&insert("a"), &format!("{} db.response.status_code=23505 !23505", insert("b")), &insert("d")],
    );
}

#[test]
fn copying_is_one_exchange() {
    let data = [message(b'd', b"secret\tQ\n"), message(b'd', &[b'Q'; 900]), message(b'c', b"")].concat();
    check(
        PG,
        &[
            (Request, &query("COPY t FROM STDIN")),
            (Response, &message(b'G', &[0, 0, 1, 0, 0])),
            (Request, &data),
            (Response, &[complete("COPY 2"), ready()].concat()),
        ],
        &["COPY t db.operation.name=COPY db.query.summary=COPY t db.query.text=COPY t FROM STDIN"],
    );
}

#[test]
fn heads_that_were_cut() {
    let long = format!("SELECT a FROM t WHERE b IN ({} 1)", "12345, ".repeat(200));
    let answer = [message(b'T', b"\0\0"), row(900), complete("SELECT 1"), ready()].concat();
    let batch = [parse("", &long), bind("", ""), execute(), sync()].concat();
    let calls: &Calls<'_> = &[
        (Request, &query(&long)),
        (Response, &answer),
        (Request, &batch),
        (Response, &answer),
        (Request, &query("SELECT 1")),
        (Response, &[error("57014"), ready()].concat()),
    ];
    let select = "SELECT t db.operation.name=SELECT db.query.summary=SELECT t db.query.text=SELECT a FROM t WHERE b IN (? ?";
    assert_eq!(
        told(PG, calls, 128),
        [
            select,
            &format!("{select} +"),
            "SELECT db.operation.name=SELECT db.query.summary=SELECT db.query.text=SELECT ? db.response.status_code=57014 !57014"
        ]
    );
    let found = exchanges(PG, calls, 128);
    assert_eq!((found[0].first_byte_ns, found[0].end_ns), (Some(1), 1));
}

#[test]
fn an_answer_that_is_passed_over_does_not_end_early() {
    let mut decoder = decoder(PG);
    let mut out = Vec::new();
    let mut chunk = |direction, ts_ns, bytes: &[u8], total: usize| {
        decoder.chunk(&Chunk { direction, ts_ns, bytes, total: total as u64, gap: false }, &mut out);
    };
    let ask = query("SELECT 1");
    chunk(Request, 0, &ask, ask.len());
    let large = row(100_000);
    chunk(Response, 1, &large[..50], 60_000);
    chunk(Response, 2, &large[60_000..60_050], large.len() - 60_000);
    let end = [complete("SELECT 1"), ready()].concat();
    chunk(Response, 3, &end, end.len());
    assert_eq!((out.len(), out[0].end_ns, out[0].at_least), (1, 3, false));
}

#[test]
fn a_gap_ends_the_message_of_the_other_side_too() {
    let mut decoder = decoder(Protocol::Postgres);
    let mut out = Vec::new();
    let mut chunk = |direction, bytes: &[u8], total: usize, gap| {
        decoder.chunk(&Chunk { direction, ts_ns: 7, bytes, total: total as u64, gap }, &mut out);
    };
    chunk(Request, b"Q\0\0\0\x0dSELECT 1\0", 14, false);
    // a row of 1,000 bytes, of which some came
    chunk(Response, b"D\0\0\x03\xe8", 100, false);
    // what was lost shows in a request, and was the rest of the answer
    chunk(Request, b"Q\0\0\0\x0dSELECT 2\0", 14, true);
    chunk(Response, b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I", 20, false);
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(out[0].truncated && out[0].at_least && !out[1].failed);
}
