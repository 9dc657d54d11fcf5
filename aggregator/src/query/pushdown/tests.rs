use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, col, lit};
use store::{Says, Table};

use super::{Part, Pushed, push};

fn at(ns: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())))
}

#[track_caller]
fn check(filter: &Expr, parts: &[Part], is_exact: bool) {
    assert_eq!(push(Table::Log, filter), Some(Pushed { parts: parts.to_vec(), is_exact }), "{filter}");
}

fn contains(text: &str) -> Part {
    Part::Contains(vec![text.to_owned()])
}

#[test]
fn times_become_a_half_open_range() {
    check(&col("ts").gt_eq(at(5)).and(col("ts").lt(at(9))), &[Part::From(5), Part::To(9)], true);
    check(&col("ts").gt(at(5)), &[Part::From(6)], true);
    check(&col("ts").gt(at(i64::MAX)), &[Part::Nothing], true);
    check(&at(9).gt_eq(col("ts")), &[Part::To(10)], true);
    check(&col("ts").between(at(5), at(9)), &[Part::From(5), Part::To(10)], true);
    assert_eq!(push(Table::Log, &col("ts").lt_eq(at(i64::MAX))), None);
}

#[test]
fn equality_is_pushed_where_the_store_compares_alike() {
    check(&col("workload").eq(lit("a")), &[Part::Equals("workload".into(), "a".into())], true);
    check(&col("cgroup_id").eq(lit(7_i64)), &[Part::Equals("cgroup_id".into(), "7".into())], true);
    for left in [col("workload").eq(lit("")), col("truncated").eq(lit(true)), col("attributes").eq(lit("a"))]
    {
        assert_eq!(push(Table::Log, &left), None, "{left}");
    }
}

#[test]
fn spans_are_asked_for_by_attribute_and_duration() {
    let pushed = |filter: &Expr| push(Table::Span, filter);
    let exact = |part: Part| Some(Pushed { parts: vec![part], is_exact: true });
    let route = || get_field(col("attributes"), "http.route");
    assert_eq!(
        pushed(&route().eq(lit("/cart"))),
        exact(Part::Equals("attributes.http.route".into(), "/cart".into()))
    );
    assert_eq!(pushed(&route().eq(lit(""))), None);
    assert_eq!(pushed(&route().not_eq(lit("/cart"))), None);
    let took = || col("duration_ns");
    let within = |from, upto| exact(Part::Within("duration_ns".into(), from, upto));
    assert_eq!(pushed(&took().gt_eq(lit(5_i64))), within(5, i64::MAX));
    assert_eq!(pushed(&took().gt(lit(5_i64))), within(6, i64::MAX));
    assert_eq!(pushed(&lit(5_i64).gt(took())), within(i64::MIN, 4));
    assert_eq!(pushed(&took().lt_eq(lit(5_i64))), within(i64::MIN, 5));
    assert_eq!(pushed(&took().gt(lit(i64::MAX))), None);
    assert_eq!(pushed(&col("cgroup_id").gt(lit(5_i64))), None, "may be null");
}

#[test]
fn patterns_become_needles() {
    check(&col("body").like(lit("%error%")), &[contains("error")], true);
    check(&col("body").like(lit("%50\\% off%")), &[contains("50% off")], true);
    check(&col("body").not_like(lit("%error%")), &[Part::Excludes("error".into())], true);
    check(&col("body").like(lit("GET%500")), &[Part::Contains(vec!["GET".into(), "500".into()])], false);
    check(&col("body").ilike(lit("%a.b%")), &[Part::Regex("(?i)a\\.b".into())], false);
    let matches =
        |op: Operator| Expr::BinaryExpr(BinaryExpr::new(Box::new(col("body")), op, Box::new(lit("a.b"))));
    check(&matches(Operator::RegexMatch), &[Part::Regex("a.b".into())], true);
    check(&matches(Operator::RegexIMatch), &[Part::Regex("(?i)a.b".into())], true);
    assert_eq!(push(Table::Log, &matches(Operator::RegexNotIMatch)), None);
    for left in [col("body").like(lit("%a_b%")), col("body").like(lit("%")), col("source").like(lit("%a%"))] {
        assert_eq!(push(Table::Log, &left), None, "{left}");
    }
}

#[test]
fn half_a_conjunction_is_never_exact() {
    check(&col("body").like(lit("%x%")).and(col("level").like(lit("w%"))), &[contains("x")], false);
    assert_eq!(push(Table::Log, &col("body").like(lit("%x%")).or(col("ts").gt(at(1)))), None);
}

#[test]
fn words_are_asked_of_the_store_where_all_texts_are_its_columns() {
    let has = |whole: bool, args: Vec<Expr>| {
        let name = if whole { "has_word" } else { "has_text" };
        let function = crate::query::words::functions().into_iter().find(|function| function.name() == name);
        function.unwrap().call(args)
    };
    check(&has(true, vec![col("body"), lit("cart")]), &[Part::Word("cart".into())], true);
    check(&has(false, vec![col("body"), lit("cart")]), &[contains("cart")], true);
    let says = |columns: &[&str], whole| {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Part::Says(Says { columns, text: "cart".into(), whole })
    };
    let of_span = |expr: &Expr| push(Table::Span, expr);
    let exact = |part| Some(Pushed { parts: vec![part], is_exact: true });
    let two = vec![col("name"), col("attributes"), lit("cart")];
    assert_eq!(of_span(&has(true, two)), exact(says(&["name", "attributes"], true)));
    let arguments = has(false, vec![col("arguments"), lit("cart")]);
    assert_eq!(push(Table::Process, &arguments), exact(says(&["arguments"], false)));
    for args in [
        vec![col("name"), lit("")],
        vec![col("name"), col("kind")],
        vec![col("duration_ns"), lit("cart")],
        vec![lit("cart"), lit("cart")],
    ] {
        assert_eq!(of_span(&has(true, args)), None);
    }
    for args in [
        vec![col("body"), lit("\u{fffd}")],
        vec![col("source"), lit("cart")],
        vec![col("body"), col("source"), lit("a")],
    ] {
        assert_eq!(push(Table::Log, &has(true, args)), None);
    }
}

#[test]
fn a_body_is_only_the_logs() {
    assert_eq!(push(Table::Flow, &col("body").like(lit("%x%"))), None);
}
