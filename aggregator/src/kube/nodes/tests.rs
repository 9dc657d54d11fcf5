use std::sync::Arc;

use daemon::clock::Clock;
use daemon::metrics::Registry;
use proto::v1::WatchRequest;
use proto::v1::nodes_server::Nodes as _;
use tokio::sync::mpsc;
use tonic::{Code, Request};

use super::{Service, tell};
use crate::ingest::peer::PeerInfo;
use crate::kube::tests::{NOW, S, unwatched};
use crate::metrics::IngestMetrics;

fn counted(registry: &Registry, reason: &str) -> bool {
    registry.prometheus_text().contains(&format!("strangers_total{{reason=\"{reason}\"}} 1"))
}

#[tokio::test]
async fn a_stream_of_names_ends_with_its_certificate() {
    let (kube, registry, clock) = (unwatched(), Registry::new(), Clock::manual(NOW));
    let metrics = IngestMetrics::register(&registry, &clock);
    let (updates, mut receiver) = mpsc::channel(2);
    let until_s = i64::try_from(NOW / S + 3_600).unwrap();
    let told = {
        let (kube, clock, metrics) = (Arc::clone(&kube), clock.clone(), metrics.clone());
        clock.advance(std::time::Duration::from_secs(3_600));
        tokio::spawn(async move {
            tell(&kube, "node1", String::new(), &updates, (&clock, Some(until_s)), &metrics).await;
        })
    };
    let ended = receiver.recv().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    told.await.unwrap();
    assert!(counted(&registry, "expired") && kube.waiting().is_empty());
}

#[tokio::test]
async fn a_node_has_few_streams_of_names_and_strangers_are_counted() {
    let (registry, clock) = (Registry::new(), Clock::manual(NOW));
    let metrics = IngestMetrics::register(&registry, &clock);
    let service = Service::new(Some(unwatched()), 1_000, metrics, clock);
    let watch = async |node: &str, is_known: bool| {
        let wire_version = proto::WIRE_VERSION;
        let mut request =
            Request::new(WatchRequest { node: node.to_owned(), wire_version, ..WatchRequest::default() });
        if is_known {
            request.extensions_mut().insert(PeerInfo::plain());
        }
        service.watch(request).await
    };
    let mut open = Vec::new();
    let refused = loop {
        match watch("node1", true).await {
            Ok(stream) => open.push(stream),
            Err(refused) => break refused,
        }
        assert!(open.len() < 100, "one node takes every place");
    };
    assert!(refused.message().contains("node1") && !open.is_empty(), "{refused:?}");
    assert!(watch("node2", true).await.is_ok());
    assert!(watch("node2", false).await.is_err() && counted(&registry, "no_certificate"));
}
