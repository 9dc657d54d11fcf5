//! Kubernetes tokens: who asks, what they may see, and agents that enrol with theirs.

use std::sync::atomic::Ordering;

use aggregator::config::Enabled;
use aggregator::config::security::{AuthMode, TlsMode};
use proto::v1::enrolment_client::EnrolmentClient;
use proto::v1::{EnrolRequest, EnrolResponse};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::agent::{identity, logs};
use crate::apiserver::{ApiServer, user};
use crate::certificates::{Pair, connect, endpoint};
use crate::server::{Server, now_ns};

const ACCOUNT: &str = "system:serviceaccount:wake:wake-agent";

async fn ask(server: &Server, token: &str) -> (u16, String) {
    let request = server.http.get(format!("http://{}/api/v1/logs", server.api)).bearer_auth(token);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_says_who_sees_what() {
    let (api, dir) = (ApiServer::default(), tempfile::tempdir().unwrap());
    let kubeconfig = api.start(dir.path()).await;
    for name in ["dev", "ops", "nobody"] {
        api.knows(name, user(name, json!({}), "https://kubernetes.default.svc"));
    }
    api.allows("dev", "shop");
    api.allows("ops", "");
    let server = Server::start_with(|config| {
        config.kubernetes.enabled = Enabled::Off;
        config.kubernetes.kubeconfig = kubeconfig;
        config.auth.mode = AuthMode::Kubernetes;
        config.auth.cache_s = 1;
    })
    .await;
    let mut agent = server.agent("node-1").await;
    for (seq, namespace) in [(1, "shop"), (2, "bank"), (3, "")] {
        let mut payload = logs("node-1", &[(now_ns(), &format!("line of <{namespace}>"))]);
        payload.identities =
            vec![proto::v1::Identity { namespace: namespace.to_owned(), ..identity("node-1", "app") }];
        agent.send(1, seq, &payload).await.ack();
    }
    let (status, text) = ask(&server, "dev").await;
    assert!(
        status == 200 && text.contains("<shop>") && !text.contains("<bank>") && !text.contains("<>"),
        "{text}"
    );
    let (_, text) = ask(&server, "ops").await;
    assert!(text.contains("<shop>") && text.contains("<bank>") && text.contains("<>"), "{text}");
    let (status, text) = ask(&server, "nobody").await;
    assert!(status == 403 && text.contains("get pods/log"), "{status} {text}");
    let (status, text) = ask(&server, "forged").await;
    assert!(
        status == 401 && text.contains("invalid bearer token") && !text.contains("forged"),
        "{status} {text}"
    );

    // an answer is used again for a second, and rights that are taken away end with it
    let reviews = api.reviews.load(Ordering::Relaxed);
    ask(&server, "dev").await;
    ask(&server, "dev").await;
    assert!(api.reviews.load(Ordering::Relaxed) <= reviews + 1);
    api.rights.lock().unwrap().clear();
    let deadline = now_ns() + 20_000_000_000;
    while ask(&server, "dev").await.0 != 403 {
        assert!(now_ns() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // while the API server is away nobody new is let in
    api.is_away.store(true, Ordering::Relaxed);
    let (status, text) = ask(&server, "somebody-new").await;
    assert!(status == 503 && text.contains("cannot be checked now"), "{status} {text}");
    server.stop().await;
}

async fn enrol(server: &Server, ca: &str, token: &str) -> Result<(Pair, EnrolResponse), tonic::Status> {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let channel = endpoint(server.ingest, ca, None).connect().await.unwrap();
    let asked = EnrolRequest { csr, token: token.to_owned() };
    let answer = EnrolmentClient::new(channel).enrol(asked).await?.into_inner();
    let certificate = daemon::tls::pem::encode("CERTIFICATE", &answer.certificates[0]);
    Ok((Pair { certificate, key: key.serialize_pem() }, answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_with_its_nodes_token() {
    let (api, dir) = (ApiServer::default(), tempfile::tempdir().unwrap());
    let kubeconfig = api.start(dir.path()).await;
    let node = json!({"authentication.kubernetes.io/node-name": ["node-1"]});
    api.knows("good", user(ACCOUNT, node.clone(), "wake-aggregator"));
    api.knows("audience", user(ACCOUNT, node.clone(), "another"));
    api.knows("account", user("system:serviceaccount:shop:cart", node.clone(), "wake-aggregator"));
    api.knows("person", user("alice", node, "wake-aggregator"));
    api.knows("unbound", user(ACCOUNT, json!({}), "wake-aggregator"));
    let ca_dir = dir.path().join("ca");
    let server = Server::start_with(|config| {
        config.kubernetes.enabled = Enabled::Off;
        config.kubernetes.kubeconfig = kubeconfig;
        config.tls.mode = TlsMode::Issued;
        config.tls.ca_dir = ca_dir.clone();
        config.tls.enrol_service_accounts = vec![String::from("wake/wake-agent")];
    })
    .await;
    let ca = std::fs::read_to_string(ca_dir.join("ca.crt")).unwrap();
    let server = server.trusting(&ca);

    let (own, answer) = enrol(&server, &ca, "good").await.unwrap();
    assert_eq!(answer.node, "node-1");
    let mut agent = connect(server.ingest, &ca, Some(&own), "node-1").await.unwrap();
    agent.log(1, &[(now_ns(), "enrolled")]).await;
    assert_eq!(server.sql("SELECT body FROM log").await, json!([["enrolled"]]));

    for (token, code, words) in [
        ("forged", tonic::Code::Unauthenticated, "invalid bearer token"),
        ("audience", tonic::Code::Unauthenticated, "meant for"),
        ("account", tonic::Code::PermissionDenied, "shop/cart"),
        ("person", tonic::Code::PermissionDenied, "alice"),
        ("unbound", tonic::Code::PermissionDenied, "bound to no pod"),
        ("", tonic::Code::Unauthenticated, "empty"),
    ] {
        let refused = enrol(&server, &ca, token).await.map(|_| ()).unwrap_err();
        assert!(refused.code() == code && refused.message().contains(words), "{token}: {refused:?}");
    }
    api.is_away.store(true, Ordering::Relaxed);
    assert_eq!(enrol(&server, &ca, "good").await.map(|_| ()).unwrap_err().code(), tonic::Code::Unavailable);
    agent.log(2, &[(now_ns(), "goes on")]).await;
    let (_, text) = server.text("/metrics").await;
    for outcome in ["ok", "token", "account", "unbound", "no_token", "api_server"] {
        let line = format!("wake_aggregator_tls_enrolments_total{{reason=\"{outcome}\"}}");
        assert!(text.contains(&line), "{line}: {text}");
    }
    server.stop().await;
}
