//! What real programs said to each other on a loopback, kept in the fuzz corpus (`fuzz.rs` has the form).

use std::path::Path;

use super::super::{Exchange, Protocol, decoder, fuzz};
use super::tell;

fn exchanges(protocol: Protocol, file: &str) -> Vec<Exchange> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(file);
    let data = std::fs::read(path).unwrap();
    let calls = fuzz::calls(&data);
    let mut decoder = decoder(protocol);
    let mut out = Vec::new();
    for call in &calls {
        decoder.chunk(call, &mut out);
    }
    decoder.end(calls.len() as u64, &mut out);
    out
}

/// Names, with the error where there is one.
#[track_caller]
fn check(protocol: Protocol, file: &str, expect: &[&str]) {
    let found: Vec<_> = exchanges(protocol, file).iter().map(brief).collect();
    assert_eq!(found, expect, "{file}");
}

fn brief(exchange: &Exchange) -> String {
    let marks = if exchange.truncated || exchange.at_least { " marked" } else { "" };
    let error = exchange.error_type.as_ref().map_or_else(String::new, |error| format!(" {error}"));
    format!("{}{error}{marks}", exchange.name)
}

#[test]
fn psql_and_postgres_15() {
    let file = "request_postgres/psql";
    check(
        Protocol::Postgres,
        file,
        &[
            "CREATE TABLE users",
            "INSERT users",
            "SELECT users",
            "SELECT users 42703",
            "COPY users",
            "SELECT users",
        ],
    );
    let told: Vec<_> = exchanges(Protocol::Postgres, file).iter().map(tell).collect();
    assert_eq!(
        told[2],
        "SELECT users db.namespace=postgres db.operation.name=SELECT db.query.summary=SELECT users \
         db.query.text=select * from users where name = ?"
    );
    assert!(!told.concat().contains("secret"));
}

#[test]
fn pgbench_with_prepared_and_unnamed_statements() {
    let run = [
        "BEGIN",
        "UPDATE pgbench_accounts",
        "SELECT pgbench_accounts",
        "UPDATE pgbench_tellers",
        "UPDATE pgbench_branches",
        "INSERT pgbench_history",
        "END",
    ];
    let first = run.iter().flat_map(|name| [format!("PREPARE {name}"), (*name).to_owned()]);
    let later = std::iter::repeat_n(run, 4).flatten().map(str::to_owned);
    let prepared: Vec<_> = first.chain(later).collect();
    let prepared: Vec<_> = prepared.iter().map(String::as_str).collect();
    check(Protocol::Postgres, "request_postgres/pgbench-prepared", &prepared);
    check(Protocol::Postgres, "request_postgres/pgbench-extended", &[run; 3].concat());
}

#[test]
fn mariadb_10_11() {
    let file = "request_mysql/mariadb";
    check(
        Protocol::Mysql,
        file,
        &[
            "CREATE TABLE users",
            "INSERT users",
            "SELECT users",
            "SELECT users 1054",
            "SELECT",
            "USE",
            "PREPARE",
            "EXECUTE",
        ],
    );
    assert!(!exchanges(Protocol::Mysql, file).iter().map(tell).collect::<String>().contains("secret"));
}

#[test]
fn redis_7_with_large_answers_cut() {
    let file = "request_redis/redis-cli";
    check(
        Protocol::Redis,
        file,
        &[
            "COMMAND DOCS",
            "SET",
            "GET",
            "INCR ERR",
            "CONFIG GET",
            "HELLO",
            "HSET",
            "HGETALL",
            "EVAL MYERR",
            "NOSUCH ERR",
        ],
    );
    assert!(!exchanges(Protocol::Redis, file).iter().map(tell).collect::<String>().contains("secret"));
}

#[test]
fn nginx_and_curl() {
    let one = "request_http1/nginx-1";
    check(Protocol::Http1, one, &["GET /", "GET /users/{id}", "GET /fail 503", "GET /none"]);
    check(Protocol::Http1, "request_http1/nginx-2", &["GET /chunk", "GET /"]);
    check(Protocol::Http1, "request_http1/nginx-3", &["HEAD /"]);
    check(Protocol::Http1, "request_http1/nginx-4", &["POST /post"]);
    let statuses: Vec<_> = exchanges(Protocol::Http1, one)
        .iter()
        .map(|exchange| exchange.attribute("http.response.status_code").unwrap_or("-").to_owned())
        .collect();
    assert_eq!(statuses, ["200", "404", "503", "204"]);
    assert!(exchanges(Protocol::Http1, "request_http1/nginx-4")[0].trace.is_some());
}

#[test]
fn coredns_and_c_ares() {
    check(
        Protocol::Dns,
        "request_dns/coredns",
        &["DNS A NXDOMAIN", "DNS AAAA NXDOMAIN", "DNS A NXDOMAIN", "DNS A SERVFAIL", "DNS TXT NXDOMAIN"],
    );
}
