use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{ExecutionPlan, collect};
use proto::v1;
use store::{Limits, Store};

use super::{LogCounts, MINUTE_NS};
use crate::query::engine::Engine;
use crate::query::plan::Leaf;
use crate::query::session::Reasons;

const NOW_NS: i64 = 1_795_262_400_000_000_000;

async fn filled(dir: &tempfile::TempDir) -> Arc<Store> {
    let limits = Limits { disk_drop_percent: 100, disk_refuse_percent: 100, ..Limits::small() };
    let (store, _) = Store::open(dir.path(), limits, NOW_NS).unwrap();
    let identity = |at: u32| v1::Identity { workload: format!("w{at}"), ..v1::Identity::default() };
    let row = |at: u32| v1::LogRow {
        identity: at % 7,
        ts: (NOW_NS - i64::from(at) * MINUTE_NS / 3).unsigned_abs(),
        body: "x".into(),
        ..v1::LogRow::default()
    };
    let (identities, logs) = ((0..7).map(identity).collect(), (0..400).map(row).collect());
    store.append_payload(v1::Payload { identities, logs, ..v1::Payload::default() }, NOW_NS).await.unwrap();
    store
}

#[tokio::test]
async fn more_buckets_than_the_store_hands_over_are_counted_row_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let engine = Engine::build(Arc::new(RuntimeEnv::default()), 64 << 20).unwrap();
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW_NS).await.unwrap();
        }
        for query in [
            "SELECT date_trunc('minute', ts) AS minute, workload, count(*) FROM log GROUP BY 1, 2 ORDER BY 1, 2",
            "SELECT workload, count(*) FROM log GROUP BY 1 ORDER BY 1",
        ] {
            let context = engine.context(&store.snapshot(), &Reasons::default()).unwrap();
            let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
            let mut found = 0;
            let few = Arc::clone(&plan).transform_up(|plan| {
                match plan.as_any().downcast_ref::<Leaf<LogCounts>>() {
                    Some(leaf) => {
                        found += 1;
                        let few = LogCounts { most: 3, ..leaf.answers().clone() };
                        let few: Arc<dyn ExecutionPlan> = Arc::new(Leaf::new(few, plan.schema(), 1));
                        Ok(Transformed::yes(few))
                    }
                    None => Ok(Transformed::no(plan)),
                }
            });
            let few = few.data().unwrap();
            assert_eq!(found, 1, "{query}");
            let rows = async |plan| {
                let batches = collect(plan, context.task_ctx()).await.unwrap();
                pretty_format_batches(&batches).unwrap().to_string()
            };
            let expected = rows(plan).await;
            assert!(expected.lines().count() > 10);
            assert_eq!(rows(few).await, expected, "{query}");
        }
    }
    store.close().await;
}
