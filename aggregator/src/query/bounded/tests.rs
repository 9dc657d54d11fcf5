use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::common::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::Functions;
use crate::query::made::Made;

/// A context as the engine makes it, with so much room for what functions make.
fn context(most: usize) -> (SessionContext, Made) {
    let made = Made::new(most);
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().extensions.insert(made.clone());
    let mut context = SessionContext::new_with_config(config);
    let known = context.state();
    let functions = Functions::new(|name| known.scalar_functions().get(name).cloned());
    functions.named().for_each(|function| context.register_udf(function));
    datafusion::execution::FunctionRegistry::register_function_rewrite(&mut context, Arc::new(functions))
        .unwrap();
    (context, made)
}

async fn asked(context: &SessionContext, query: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
    context.sql(query).await?.collect().await
}

#[tokio::test]
async fn bounded_functions_answer_as_the_engine_does() {
    let (bounded, made) = context(256 << 20);
    let free = SessionContext::new();
    for query in [
        "SELECT 'a' || 'b', 'a' || 1, 1 || 'b', NULL || 'a', [1] || [2, 3], [1] || 2",
        "SELECT t || '-' || t, t || NULL, upper(t), t || value, concat(t, NULL, t), concat_ws('/', t, 'x', t) \
         FROM (SELECT 'v' || value AS t, value FROM generate_series(1, 3)) ORDER BY t",
        "SELECT repeat(t, 3), lpad(t, 5, '.'), replace(t, 'v', 'ww'), regexp_replace(t, '(v)', '\\1\\1'), substr(t, 2) \
         FROM (SELECT concat('v', value) AS t FROM generate_series(1, 20000)) ORDER BY 1 LIMIT 5",
        "SELECT array_to_string(make_array(value, value), ','), array_append([value], 7), string_to_array('a-b', '-') \
         FROM generate_series(1, 3) ORDER BY 1",
        "SELECT translate(t, 'v1', 'w2'), regexp_match(t, '(v)(.)'), array_to_string([[t, 'a'], [t]], '-') \
         FROM (SELECT 'v' || value AS t FROM generate_series(1, 30)) ORDER BY t",
        "SELECT to_char(TIMESTAMP '2026-11-22T01:02:03', '%H:%M'), split_part('a.b', '.', 2), array_repeat('x', 2)",
        "SELECT t FROM (SELECT 'v' || value AS t FROM generate_series(1, 30)) WHERE t || 'x' LIKE '%1x' ORDER BY t",
    ] {
        let ours = asked(&bounded, query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        let theirs = asked(&free, query).await.unwrap();
        let show = |batches: &[RecordBatch]| {
            arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string()
        };
        assert_eq!(show(&ours), show(&theirs), "{query}");
    }
    assert!(made.bytes() < 1 << 20, "answers that are gone are still held: {}", made.bytes());
}

#[tokio::test]
async fn what_would_make_too_much_is_refused_before_it_does() {
    let (context, made) = context(32 << 20);
    // each doubles the one before, whichever way it is written
    let doubled = |by: &str| {
        let mut query =
            String::from("SELECT concat('v', 1000000 + value) AS t0 FROM generate_series(1, 1000)");
        for at in 0..14 {
            // of names of their own: the engine takes a projection that is written twice for one
            query = format!("SELECT {} AS t{} FROM ({query})", by.replace('t', &format!("t{at}")), at + 1);
        }
        format!("SELECT max(length(t14)) FROM ({query})")
    };
    let list = "SELECT max(array_length(t)) FROM (SELECT a || a AS t FROM (SELECT array_repeat(value, 1000) AS a \
                FROM generate_series(1, 100000)))";
    let wide = format!(
        "SELECT {} FROM generate_series(1, 100000)",
        (0..300)
            .map(|at| format!("repeat('x{at}', 1000 + value % 2) AS c{at}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let constants = format!(
        "SELECT {}",
        (0..30).map(|at| format!("repeat('x{at}', 1000000) AS c{at}")).collect::<Vec<_>>().join(", ")
    );
    for query in [
        &doubled("t || t"),
        &doubled("CONCAT(t, t)"),
        &doubled("REPLACE(t, '0', '00')"),
        &doubled("CONCAT_WS(t, t, t)"),
        list,
        &wide,
        &constants,
        "SELECT array_to_string(range(0, 1000000), repeat('x', 100000))",
        "SELECT length(array_to_string(array_repeat(value, 1000), repeat('x', 10000))) FROM generate_series(1, 10000)",
        "SELECT length(array_to_string(make_array(range(0, 50000 + value)), repeat('x', 100000))) FROM generate_series(1, 2)",
        "SELECT length(translate(repeat('x', 4000 + value), 'x', concat('a', repeat(chr(769), 500000)))) FROM generate_series(1, 2)",
        "SELECT regexp_match(repeat('v', 4000000 + value), '((((((((((.*))))))))))') FROM generate_series(1, 2)",
        "SELECT regexp_replace(repeat('v', 100000 + value), '(.*)', repeat('\\1', 10000)) FROM generate_series(1, 9)",
    ] {
        let error = match asked(&context, query).await {
            Err(error) => error,
            Ok(answer) => {
                panic!("{query:.120}: {} rows", answer.iter().map(RecordBatch::num_rows).sum::<usize>())
            }
        };
        let root = error.find_root();
        assert!(matches!(root, DataFusionError::ResourcesExhausted(_)), "{query:.120}: {root}");
    }
    let left = made.bytes();
    assert!(left < 32 << 20, "{left}");
}

#[tokio::test]
async fn a_batch_for_which_there_is_no_room_at_once_is_done_in_parts() {
    let (context, _) = context(48 << 20);
    // each call could make 8,192 rows of 4 KiB three times, and makes 4 KiB of each hundredth
    let query = "SELECT sum(length(upper(t))) AS s FROM (SELECT repeat('v', CASE WHEN value % 100 = 0 THEN 4096 ELSE 1 END) AS t \
                 FROM generate_series(1, 20000))";
    let answer = asked(&context, query).await.unwrap();
    let sum = answer[0].column(0).as_primitive::<arrow::datatypes::Int64Type>();
    assert!(sum.is_valid(0));
    assert_eq!(sum.value(0), 200 * 4_096 + 19_800);
}
