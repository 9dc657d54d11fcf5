//! Who may send over OTLP, and for whom, over both transports.

use prost::Message as _;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;

use crate::fleet::{Fleet, Part, SHOP_TOKEN, TOKEN};
use crate::otlp::{PROTOBUF, count, logs, post};

#[test]
fn a_token_is_asked_for_and_sends_for_its_own_namespaces() {
    let mut fleet = Fleet::logs_only();
    fleet.asks_senders("");
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    let [grpc, http] = fleet.otlp;
    let send = |token: &str, namespace: &str| {
        let mut request = logs(["one".to_owned()].into_iter());
        let resource = request.resource_logs[0].resource.as_mut().unwrap();
        resource.attributes[1] = crate::otlp::pair("k8s.namespace.name", namespace);
        let headers = match token {
            "" => PROTOBUF.to_owned(),
            token => format!("{PROTOBUF}Authorization: Bearer {token}\r\n"),
        };
        let (status, _, body) = post(http, "/v1/logs", &headers, &request.encode_to_vec()).unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(send("", "shop").0, 401);
    assert_eq!(send("a-token-that-nobody-has", "shop").0, 401);
    assert_eq!(send(SHOP_TOKEN, "shop"), (200, String::new()));
    let (status, body) = send(SHOP_TOKEN, "bank");
    assert!(status == 200 && body.contains("1 forbidden_namespace"), "{status} {body:?}");
    assert_eq!(send(TOKEN, "bank"), (200, String::new()));
    let namespaces = "SELECT count(*) AS n FROM log WHERE namespace IN ('shop', 'bank')";
    assert_eq!(count(&fleet, namespaces), 2);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = LogsServiceClient::connect(format!("http://127.0.0.1:{grpc}")).await.unwrap();
        let refused = client.export(logs(["two".to_owned()].into_iter())).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        let mut request = tonic::Request::new(logs(["two".to_owned()].into_iter()));
        request.metadata_mut().insert("authorization", format!("Bearer {SHOP_TOKEN}").parse().unwrap());
        assert!(client.export(request).await.unwrap().into_inner().partial_success.is_none());
    });
    assert_eq!(count(&fleet, "SELECT count(*) AS n FROM log WHERE body = 'two'"), 1);
}
