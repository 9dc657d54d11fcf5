use proto::v1;
use store::{Limits, ScanRequest, Store, Table};

use daemon::clock::Clock;
use futures::StreamExt as _;

use super::{Known, Row, Writer, payload};

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
    let mut rows = store.snapshot().scan(Table::KubeEvent, ScanRequest::default()).unwrap();
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.unwrap().num_rows();
    }
    assert_eq!(count, 2);
    store.close().await;
}
