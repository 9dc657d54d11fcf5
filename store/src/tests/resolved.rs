//! Names that are found when a batch comes in are kept with it, in memory, in the log and in files.

use proto::v1;

use super::fixture::{NOW, batch, bodies, collect, identity, limits, line, newest, open, open_with, render};
use crate::{ScanRequest, Table};

fn nameless() -> v1::Payload {
    let identity = v1::Identity {
        pod: String::new(),
        pod_uid: "u-1".to_owned(),
        workload: "pod/u-1".to_owned(),
        container: "ab".to_owned(),
        container_id: "ab".to_owned(),
        ..identity("", "x")
    };
    let flow = |peer: &str| v1::FlowRow {
        ts: NOW.cast_unsigned(),
        window_s: 10,
        role: "client".to_owned(),
        peer_address: peer.to_owned(),
        server_port: 80,
        ..v1::FlowRow::default()
    };
    v1::Payload {
        identities: vec![identity],
        logs: vec![line(0, NOW, "info", b"hello")],
        flows: vec![flow("10.96.0.7"), flow("1.2.3.4"), flow("10.96.0.7")],
        ..v1::Payload::default()
    }
}

fn known(payload: &v1::Payload) -> Option<v1::Resolved> {
    let real = Some(v1::Real { address: "10.244.1.9".to_owned(), port: 8080 });
    let peer = v1::Peer { kind: "pod".to_owned(), pod: "cart-0".to_owned(), real, ..v1::Peer::default() };
    let completion = v1::Completion {
        workload: "cart".to_owned(),
        workload_kind: "deployment".to_owned(),
        namespace: "shop".to_owned(),
        pod: "cart-0".to_owned(),
        container: "app".to_owned(),
        labels: "app=cart".to_owned(),
        ..v1::Completion::default()
    };
    let flows = (0..).zip(&payload.flows).filter(|(_, flow)| flow.peer_address == "10.96.0.7");
    let flows = flows.map(|(place, _)| place).chain([99]).collect();
    let nowhere = v1::Completion { identity: 7, ..completion.clone() };
    Some(v1::Resolved { peers: vec![v1::Peer { flows, ..peer }], completions: vec![completion, nowhere] })
}

#[tokio::test]
async fn names_that_were_known_at_ingest_survive_replay_and_seal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.resolve_with(known);
    store.append(&batch("n", 1, 1, &nameless()), NOW).await.unwrap();
    let texts = async |store: &crate::Store| {
        let mut text = String::new();
        for table in [Table::Log, Table::Flow] {
            text += &render(&collect(store.snapshot().scan(table, ScanRequest::default()).unwrap()).await);
        }
        text
    };
    let before = texts(&store).await;
    for expected in [
        "namespace=shop workload=cart workload_kind=deployment pod=cart-0 pod_uid=u-1 container=app",
        "labels=app=cart container_id=ab",
        "peer_address=10.244.1.9",
        "server_port=8080",
        "asked_address=10.96.0.7 asked_port=80",
        "peer_pod=cart-0",
        "peer_address=1.2.3.4",
    ] {
        assert!(before.contains(expected), "{expected} in {before}");
    }
    store.close().await;
    // nobody who knows the names: the log has them
    let store = open(dir.path());
    assert_eq!(texts(&store).await, before);
    store.seal(NOW).await.unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&texts(&store).await), sorted(&before));
}

#[tokio::test]
async fn a_sender_does_not_say_what_the_aggregator_knows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let payload = nameless();
    let forged = v1::Payload { resolved: known(&payload), ..payload };
    let refused = store.append(&batch("n", 1, 1, &forged), NOW).await.unwrap_err();
    assert!(refused.detail.contains("resolved"), "{refused:?}");
}

#[tokio::test]
async fn the_fullest_batch_with_names_beside_it_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.resolve_with(known);
    let payload = v1::Payload { losses: vec![v1::LossRow::default(); 131_070], ..nameless() };
    // one row too many
    let refused = store.append(&batch("n", 1, 1, &payload), NOW).await.unwrap_err();
    assert_eq!(refused.code, proto::error::ErrorCode::TooLarge);
    let payload = v1::Payload { losses: vec![v1::LossRow::default(); 131_068], ..nameless() };
    assert_eq!(store.append(&batch("n", 1, 2, &payload), NOW).await.unwrap().rows, 131_072);
    store.close().await;
    drop(store);
    let (store, recovered) = open_with(dir.path(), limits()).unwrap();
    assert!(recovered.damaged.is_empty(), "{:?}", recovered.damaged);
    assert_eq!(bodies(&store.snapshot(), newest(1)).await, ["hello"]);
}
