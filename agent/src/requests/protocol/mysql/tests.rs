use super::super::Protocol;
use super::super::tests::{Calls, Request, Response, check, exchanges, told};
use super::packet::{Handshake, handshake, query};

const MYSQL: Protocol = Protocol::Mysql;

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes()[..3], &[sequence], payload].concat()
}

fn command(code: u8, body: &[u8]) -> Vec<u8> {
    packet(0, &[&[code], body].concat())
}

fn ok(sequence: u8) -> Vec<u8> {
    packet(sequence, &[0, 0, 0, 2, 0, 0, 0])
}

fn eof(sequence: u8, status: u8) -> Vec<u8> {
    packet(sequence, &[0xfe, 0, 0, status, 0])
}

fn error(sequence: u8) -> Vec<u8> {
    packet(sequence, b"\xff\x7a\x04#42S02Table 'secret' does not exist")
}

fn greeting() -> Vec<u8> {
    packet(0, b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_native_password\0")
}

fn login(flags: u32) -> Vec<u8> {
    let head = [&flags.to_le_bytes()[..], &[0, 0, 0, 1, 33], &[0; 23]].concat();
    packet(1, &[&head[..], b"ann\0\x06secretshop\0mysql_native_password\0"].concat())
}

const SELECT: &str =
    "db.operation.name=SELECT db.query.summary=SELECT t db.query.text=SELECT a FROM t WHERE b = ?";

#[test]
fn queries_of_both_forms_of_results() {
    let ask = command(3, b"SELECT a FROM t WHERE b = 'secret'");
    let column = packet(2, &[3; 40]);
    let old =
        [packet(1, &[1]), column.clone(), eof(3, 2), packet(4, &[0xfb]), packet(5, b"\x03abc"), eof(6, 2)]
            .concat();
    let new = [packet(1, &[1]), column, packet(3, b"\x03abc"), packet(4, &[0xfe, 0, 0, 2, 0, 0, 0])].concat();
    let update = command(3, b"UPDATE t SET a = 1");
    let expect = format!("SELECT t {SELECT}");
    check(
        MYSQL,
        &[
            (Request, &ask),
            (Response, &old),
            (Request, &ask),
            (Response, &new),
            (Request, &update),
            (Response, &ok(1)),
            (Request, &ask),
            (Response, &error(1)),
            (Request, &command(1, b"")),
        ],
        &[
            &expect,
            &expect,
            "UPDATE t db.operation.name=UPDATE db.query.summary=UPDATE t db.query.text=UPDATE t SET a = ?",
            &format!("{expect} db.response.status_code=1146 db.mysql.sqlstate=42S02 !1146"),
        ],
    );
}

#[test]
fn results_of_several_parts_are_one_answer() {
    let part = |at: u8, status| {
        [packet(at, &[1]), packet(at + 1, &[3; 40]), eof(at + 2, 2), eof(at + 3, status)].concat()
    };
    let answer = [part(1, 10), part(5, 10), packet(9, &[0, 0, 0, 2, 0])].concat();
    check(
        MYSQL,
        &[
            (Request, &command(3, b"CALL p(1)")),
            (Response, &answer),
            (Request, &command(14, b"")),
            (Response, &ok(1)),
        ],
        &["CALL p db.operation.name=CALL db.query.summary=CALL p db.query.text=CALL p(?)", "PING"],
    );
}

#[test]
fn a_login_gives_the_database_and_no_exchange() {
    let use_db = command(2, b"other");
    check(
        MYSQL,
        &[
            (Response, &greeting()),
            (Request, &login(1 << 3 | 1 << 9 | 1 << 15 | 1 << 27)),
            (Response, &packet(2, b"\xfemysql_clear_password\0")),
            (Request, &packet(3, b"secret\0")),
            (Response, &ok(4)),
            (Request, &command(3, b"\0\x01SELECT a FROM t WHERE b = 1")),
            (Response, &ok(1)),
            (Request, &command(3, b"\x01\x01\0\x01\x03\0\x04namesecretSELECT 1")),
            (Response, &ok(1)),
            (Request, &use_db),
            (Response, &ok(1)),
            (Request, &command(14, b"")),
            (Response, &ok(1)),
        ],
        &[
            &format!("SELECT t db.namespace=shop {SELECT}"),
            "QUERY db.namespace=shop",
            "USE db.namespace=shop",
            "PING db.namespace=other",
        ],
    );
    check(
        MYSQL,
        &[(Request, &login(1 << 3)), (Response, &ok(2)), (Request, &command(14, b"")), (Response, &ok(1))],
        &["PING db.namespace=shop"],
    );
    check(
        MYSQL,
        &[
            (Response, &greeting()),
            (Request, &login(1 << 3)),
            (Response, &packet(2, b"\xff\x15\x04#28000Access denied")),
        ],
        &["CONNECT db.namespace=shop db.response.status_code=1045 db.mysql.sqlstate=28000 !1045"],
    );
}

#[test]
fn prepared_statements_keep_their_text() {
    let prepare = command(0x16, b"SELECT a FROM t WHERE b = ?");
    let prepared = [
        packet(1, &[0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
        packet(2, &[3; 30]),
        eof(3, 2),
        packet(4, &[3; 30]),
        eof(5, 2),
    ]
    .concat();
    let rows =
        [packet(1, &[1]), packet(2, &[3; 40]), eof(3, 2), packet(4, b"\0\0secret"), eof(5, 2)].concat();
    let run = |id: u32| {
        command(0x17, &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 254, 0], b"\x06secret"].concat())
    };
    let expect = format!("SELECT t {SELECT}");
    check(
        MYSQL,
        &[
            (Request, &prepare),
            (Response, &prepared),
            (Request, &run(7)),
            (Response, &rows),
            (Request, &command(0x18, b"\x07\0\0\0\0\0secret")),
            (Request, &run(u32::MAX)),
            (Response, &ok(1)),
            (Request, &command(0x19, &[7, 0, 0, 0])),
            (Request, &run(7)),
            (Response, &error(1)),
        ],
        &[
            &format!("PREPARE SELECT t {SELECT}"),
            &expect,
            &expect,
            "EXECUTE db.response.status_code=1146 db.mysql.sqlstate=42S02 !1146",
        ],
    );
}

#[test]
fn encrypted_or_compressed_connections_are_left_alone() {
    let tls = packet(1, &[&(1_u32 << 11 | 1 << 9).to_le_bytes()[..], &[0; 28]].concat());
    check(MYSQL, &[(Response, &greeting()), (Request, &tls), (Request, &command(3, b"SELECT 1"))], &[]);
    assert_eq!(handshake(&login(1 << 5)[4..]).map(|told| told.opaque), Some(true));
    assert_eq!(
        handshake(&login(1 << 3)[4..]),
        Some(Handshake { database: Some("shop"), opaque: false, attributes: false })
    );
    assert_eq!(query(b"\x02\x01", Some(true)), None, "attributes with values are not read");
    assert_eq!(
        query(b"\x01\x01\0\x01\x03\0\x04namesecretSELECT 1", None),
        None,
        "nor where nothing was said of them"
    );
    assert_eq!(query(b"\0\x01SELECT 1", None), Some(b"SELECT 1".as_slice()));
    assert_eq!(query(b"SELECT 1", None), Some(b"SELECT 1".as_slice()));
}

#[test]
fn heads_that_were_cut() {
    let rows: Vec<u8> = (0..=255).cycle().skip(4).take(600).flat_map(|at| packet(at, &[b'x'; 50])).collect();
    let answer = [packet(1, &[1]), packet(2, &[3; 40]), eof(3, 2), rows, eof(92, 2)].concat();
    let long = format!("INSERT INTO t VALUES ({}'x')", "'secret', ".repeat(100));
    let calls: &Calls<'_> = &[
        (Request, &command(3, b"SELECT a FROM t WHERE b = 1")),
        (Response, &answer),
        (Request, &command(3, long.as_bytes())),
        (Response, &ok(1)),
    ];
    let expect = [
        format!("SELECT t {SELECT}"),
        "INSERT t db.operation.name=INSERT db.query.summary=INSERT t db.query.text=INSERT INTO t VALUES (? ?"
            .to_owned(),
    ];
    assert_eq!(told(MYSQL, calls, 200), expect);
    let found = exchanges(MYSQL, calls, usize::MAX);
    assert_eq!((found.len(), found[0].end_ns, found[1].truncated), (2, 1, false));
}
