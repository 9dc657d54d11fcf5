use std::sync::Arc;
use std::time::Duration;

use daemon::shutdown::{Phase, Shutdown};
use proto::v1;
use store::{Limits, ScanRequest, Store, Table};

use daemon::clock::Clock;
use futures::StreamExt as _;

use super::{Known, Row, Writer, payload};
use crate::kube::tests::{pod, slice, unwatched};
use crate::kube::{CHANGES, wire};

const NOW: u64 = 1_795_267_499_000_000_000;

fn identity(namespace: &str) -> v1::Identity {
    v1::Identity { namespace: namespace.to_owned(), ..v1::Identity::default() }
}

fn event(uid: &str, version: &str) -> Row {
    let row = v1::KubeEventRow {
        ts: NOW,
        uid: uid.to_owned(),
        resource_version: version.to_owned(),
        count: 1,
        ..v1::KubeEventRow::default()
    };
    Row::Event(identity("shop"), row)
}

fn created(uid: &str, ts: u64) -> Row {
    let row = v1::ObjectChangeRow {
        ts,
        uid: uid.to_owned(),
        change: "created".to_owned(),
        ..v1::ObjectChangeRow::default()
    };
    Row::Change(identity("shop"), row)
}

#[test]
fn rows_share_identities_and_losses_are_entered() {
    let payload = payload(vec![event("a", "1"), event("b", "1"), created("c", NOW), Row::Lost(3)], NOW);
    assert_eq!(payload.identities, [identity("shop")]);
    assert_eq!((payload.kube_events.len(), payload.object_changes.len()), (2, 1));
    assert_eq!((payload.losses[0].count, payload.losses[0].signal.as_str()), (3, "kubernetes"));
}

#[tokio::test]
async fn what_was_stored_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now_ns = NOW.cast_signed();
    let (store, _) = Store::open(dir.path(), Limits::small(), now_ns).unwrap();
    assert!(
        !Known::read(&store, NOW).await.came_meanwhile("x", NOW),
        "what was there before Wake is not new"
    );
    let clock = Clock::manual(NOW);
    let mut writer = Writer { store: &store, epoch: NOW, seq: 0, clock: &clock, token: None };
    writer.write(vec![event("a", "1"), created("c", NOW - 5_000_000_000)]).await;
    writer.write(vec![event("a", "2")]).await;
    let known = Known::read(&store, NOW).await;
    assert!(known.has_event("a", "1") && known.has_event("a", "2") && !known.has_event("a", "3"));
    assert!(!known.came_meanwhile("c", NOW), "it is recorded");
    assert!(known.came_meanwhile("d", NOW) && !known.came_meanwhile("d", NOW - 60_000_000_000));
    assert_eq!(rows(&store, Table::KubeEvent).await, 2);
    store.close().await;
}

async fn rows(store: &Store, table: Table) -> usize {
    let mut rows = store.snapshot().scan(table, ScanRequest::default()).unwrap();
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.unwrap().num_rows();
    }
    count
}

#[tokio::test]
async fn a_restart_in_a_large_cluster_loses_nothing_and_records_what_came_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (kube, now) = (unwatched(), crate::kube::tests::NOW);
    let (store, _) = Store::open(dir.path(), Limits::small(), now.cast_signed()).unwrap();
    let clock = Clock::manual(now);
    let mut writer = Writer { store: &store, epoch: now - 1, seq: 0, clock: &clock, token: None };
    writer.write(vec![created("before", now - 5_000_000_000)]).await;
    let shutdown = Shutdown::new(Duration::from_secs(5));
    super::spawn(&kube, Arc::clone(&store), shutdown.register(Phase::Intake, "record")).await;
    // the list of the watch, told at once: one object of it is new
    let object = |index: usize, at: &str| {
        let mut pod = pod(&format!("p{index}"), "10.0.0.1", "node1", None);
        pod["metadata"]["creationTimestamp"] = at.into();
        pod
    };
    kube.told::<wire::Pod>(object(0, "2026-11-21T12:00:00Z"), true);
    for index in 1..=CHANGES {
        kube.told::<wire::Pod>(object(index, "2026-11-21T11:00:00Z"), true);
        kube.told::<wire::EndpointSlice>(slice(&format!("s{index}"), "shop", &["10.0.0.1"], 80), false);
        // and listed again after an interruption
        kube.told::<wire::Pod>(object(index, "2026-11-21T11:00:00Z"), true);
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while rows(&store, Table::ObjectChange).await < 2 {
        assert!(tokio::time::Instant::now() < deadline, "what came meanwhile is not recorded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(shutdown.run().await.is_empty());
    assert_eq!((rows(&store, Table::ObjectChange).await, rows(&store, Table::Loss).await), (2, 0));
}
