use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};

use super::{Dialect, MAX_TEXT, Statement};

#[track_caller]
fn check(sql: &str, text: &str, summary: &str) {
    for dialect in [Dialect::Postgres, Dialect::Mysql] {
        let statement = Statement::read(sql.as_bytes(), dialect, false);
        assert_eq!((statement.text.as_str(), statement.summary.as_str()), (text, summary), "{dialect:?}");
    }
}

#[track_caller]
fn text(sql: &str, dialect: Dialect, expect: &str) {
    assert_eq!(Statement::read(sql.as_bytes(), dialect, false).text, expect);
}

#[test]
fn literals_are_taken_out() {
    check("SELECT * FROM users WHERE id = 42", "SELECT * FROM users WHERE id = ?", "SELECT users");
    check(
        "select name from t where a='it''s' and b = -1.5e-3;",
        "select name from t where a=? and b = -?",
        "SELECT t",
    );
    check("SELECT 0xdeadbeef, x'ff', N'a', .5, 1_000", "SELECT ?, ?, ?, ?, ?", "SELECT");
    check("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')", "INSERT INTO t (a, b) VALUES (?)", "INSERT t");
    check("INSERT INTO t VALUES (1, 2, now(), 3, 4)", "INSERT INTO t VALUES (?, now(), ?, ?)", "INSERT t");
    check("SELECT a FROM t WHERE id IN (1, 2, 3)", "SELECT a FROM t WHERE id IN (?)", "SELECT t");
    check("SELECT count(*) FROM t LIMIT 10", "SELECT count(*) FROM t LIMIT ?", "SELECT t");
    check("SELECT'secret'", "SELECT?", "SELECT");
    check("UPDATE t SET a = ? WHERE b = ?", "UPDATE t SET a = ? WHERE b = ?", "UPDATE t");
}

#[test]
fn comments_go() {
    check("SELECT /* user 7 */ 1 -- secret\n FROM t", "SELECT ? FROM t", "SELECT t");
    text("SELECT /* a /* b */ 'c' */ 1", Dialect::Postgres, "SELECT ?");
    text("SELECT 1 # 'it", Dialect::Mysql, "SELECT ?");
    text("SELECT 5 --5", Dialect::Mysql, "SELECT ? --?");
}

#[test]
fn quotes_of_each_dialect() {
    text(r#"SELECT "name" FROM "my table""#, Dialect::Postgres, "SELECT name FROM my table");
    text(r#"SELECT "secret" FROM `t`"#, Dialect::Mysql, "SELECT ? FROM t");
    text("SELECT $$it's$$, $a$ $$ $a$, $1, E'it\\'s'", Dialect::Postgres, "SELECT ?, ?, ?, ?");
    text("SELECT U&'d\\0061t' FROM t", Dialect::Postgres, "SELECT U&? FROM t");
    text("SELECT _utf8'a' FROM t", Dialect::Mysql, "SELECT ? FROM t");
}

#[test]
fn where_quoting_is_in_doubt_the_rest_is_left_out() {
    text(r"SELECT 'a\' , ' secret ' FROM t", Dialect::Postgres, "SELECT ?");
    text(r"SELECT 'a\' , ' secret ' FROM t", Dialect::Mysql, "SELECT ?");
    text(r"SELECT 'a\\', b FROM t", Dialect::Mysql, "SELECT ?, b FROM t");
    check("SELECT a, 'never ends FROM t", "SELECT a, ?", "SELECT");
    text("SELECT $tag", Dialect::Postgres, "SELECT ?");
}

#[test]
fn a_cut_statement_ends_before_its_last_word() {
    let statement = Statement::read(b"SELECT a FROM t WHERE id = 12", Dialect::Postgres, true);
    assert_eq!(statement.text, "SELECT a FROM t WHERE id = ?");
    let statement = Statement::read(b"SELECT a FROM t WHERE secr", Dialect::Mysql, true);
    assert_eq!(statement.text, "SELECT a FROM t WHERE ?");
    assert!(statement.cut);
}

#[test]
fn a_summary_names_operations_and_tables() {
    let cases = [
        ("SELECT u.a FROM public.users u JOIN orders AS o ON u.id = o.user", "SELECT public.users orders"),
        ("SELECT * FROM a x, b y WHERE z IN (SELECT i FROM c)", "SELECT a b SELECT c"),
        ("INSERT INTO t (a) SELECT b FROM s ON CONFLICT (a) DO UPDATE SET a = 1", "INSERT t SELECT s"),
        ("WITH x AS (SELECT 1 FROM y) DELETE FROM t", "SELECT y DELETE t"),
        ("SELECT extract(year FROM ts) FROM t FOR UPDATE", "SELECT t"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX i"),
        ("CREATE TABLE IF NOT EXISTS t (a int)", "CREATE TABLE t"),
        ("COPY t (a) FROM STDIN", "COPY t"),
        ("BEGIN", "BEGIN"),
        ("begin; update t set a=1; commit", "BEGIN UPDATE t COMMIT"),
        ("EXPLAIN ANALYZE UPDATE t SET a = 1", "EXPLAIN UPDATE t"),
        ("SET search_path = x", "SET"),
        ("what is this", ""),
        ("", ""),
    ];
    for (sql, summary) in cases {
        assert_eq!(Statement::read(sql.as_bytes(), Dialect::Postgres, false).summary, summary, "{sql}");
    }
    let with = Statement::read(b"WITH x AS (SELECT 1 FROM y) DELETE FROM t", Dialect::Postgres, false);
    assert_eq!(with.operation.as_deref(), Some("DELETE"));
}

/// A literal that holds a secret, as each dialect writes it.
fn literal() -> impl Strategy<Value = (String, Option<Dialect>)> {
    let inside = "[ -&(-\\[\\]-~]{0,8}";
    prop_oneof![
        (inside, inside).prop_map(|(a, b)| (format!("'{a}S3CRET{b}'"), None)),
        (inside, inside).prop_map(|(a, b)| (format!("'{a}''S3CRET''{b}'"), None)),
        Just(("'a''''S3CRET'''".to_owned(), None)),
        inside.prop_map(|a| (format!("E'\\'{a}S3CRET\\\\'"), Some(Dialect::Postgres))),
        "[ -#%-~]{0,8}".prop_map(|a| (format!("$q$'{a}S3CRET'$q$"), Some(Dialect::Postgres))),
        "[ -!#-\\[\\]-~]{0,8}".prop_map(|a| (format!("\"{a}S3CRET\""), Some(Dialect::Mysql))),
        inside.prop_map(|a| (format!("'\\'{a}S3CRET'"), None)),
        "[ -)+-.0-~]{0,8}".prop_map(|a| (format!("/* {a} S3CRET */"), None)),
        "[ -~]{0,8}".prop_map(|a| (format!("-- {a} S3CRET\n"), None)),
        (1_u64..).prop_map(|number| (format!("7777{number}.7777e+7"), None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_literal_survives(literals in proptest::collection::vec(literal(), 1..5), cut in 0_usize..400, is_cut in any::<bool>()) {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let mut sql = "SELECT a FROM t WHERE x =".to_owned();
            for (literal, only) in &literals {
                if only.is_none_or(|only| only == dialect) {
                    sql = format!("{sql} {literal} AND b IN (");
                }
            }
            let end = if is_cut { cut.min(sql.len()) } else { sql.len() };
            let statement = Statement::read(&sql.as_bytes()[..end], dialect, is_cut);
            for told in [&statement.text, &statement.summary] {
                prop_assert!(!told.contains("S3CR"), "{dialect:?} {sql} -> {told}");
                prop_assert!(!told.contains(|next: char| next.is_ascii_digit()), "{dialect:?} {sql} -> {told}");
            }
        }
    }

    #[test]
    fn any_bytes_give_bounded_text(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let statement = Statement::read(&bytes, dialect, false);
            prop_assert!(statement.text.len() <= MAX_TEXT && statement.summary.len() <= 255);
        }
    }
}
