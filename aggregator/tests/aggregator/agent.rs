//! An agent as the aggregator sees one: a stream, batches with their numbers, answers.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use proto::v1::agent_message::Kind;
use proto::v1::ingest_client::IngestClient;
use proto::v1::{
    Ack, AgentMessage, AgentStatus, AggregatorMessage, Batch, Hello, Identity, LogRow, Payload, Refused,
    aggregator_message,
};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connected agent.
pub(crate) struct Agent {
    pub(crate) node: String,
    sender: Sender<AgentMessage>,
    answers: Streaming<AggregatorMessage>,
}

/// What a batch was answered with.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Ack(Ack),
    Refused(Refused),
}

impl Answer {
    #[track_caller]
    pub(crate) fn ack(self) -> Ack {
        match self {
            Self::Ack(ack) => ack,
            Self::Refused(refused) => panic!("refused: {refused:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(self) -> Refused {
        match self {
            Self::Refused(refused) => refused,
            Self::Ack(ack) => panic!("acknowledged: {ack:?}"),
        }
    }
}

pub(crate) fn hello(node: &str) -> Hello {
    Hello {
        node: node.to_owned(),
        boot_id: String::from("boot"),
        agent_version: String::from("test"),
        wire_version: proto::WIRE_VERSION,
        cluster: String::new(),
    }
}

impl Agent {
    /// Connects and says hello.
    pub(crate) async fn connect(address: SocketAddr, node: &str) -> Self {
        Self::connect_with(address, AgentMessage { kind: Some(Kind::Hello(hello(node))) }, node)
            .await
            .unwrap()
    }

    /// Connects with any first message.
    pub(crate) async fn connect_with(
        address: SocketAddr,
        first: AgentMessage,
        node: &str,
    ) -> Result<Self, tonic::Status> {
        let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
        Self::over(endpoint.connect().await.unwrap(), first, node).await
    }

    /// Over a connection that is there.
    pub(crate) async fn over(
        channel: Channel,
        first: AgentMessage,
        node: &str,
    ) -> Result<Self, tonic::Status> {
        let mut client = IngestClient::new(channel);
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        sender.send(first).await.unwrap();
        let answers = client.stream(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { node: node.to_owned(), sender, answers })
    }

    pub(crate) async fn say(&self, kind: Kind) {
        // An aggregator that has gone is noticed when its answer is waited for.
        drop(self.sender.send(AgentMessage { kind: Some(kind) }).await);
    }

    pub(crate) async fn status(&self, status: AgentStatus) {
        self.say(Kind::Status(status)).await;
    }

    /// The next answer; an error when the stream has ended.
    pub(crate) async fn answer(&mut self) -> Result<Answer, tonic::Status> {
        let message =
            tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("an answer in time")?;
        match message.and_then(|message| message.kind) {
            Some(aggregator_message::Kind::Ack(ack)) => Ok(Answer::Ack(ack)),
            Some(aggregator_message::Kind::Refused(refused)) => Ok(Answer::Refused(refused)),
            None => Err(tonic::Status::unavailable("the stream has ended")),
        }
    }

    /// Sends one batch and waits for its answer.
    pub(crate) async fn send(&mut self, epoch: u64, seq: u64, payload: &Payload) -> Answer {
        self.say(Kind::Batch(batch(&self.node, epoch, seq, payload))).await;
        self.answer().await.unwrap()
    }

    /// Sends log lines as one batch of epoch 1.
    pub(crate) async fn log(&mut self, seq: u64, lines: &[(u64, &str)]) -> Ack {
        let node = self.node.clone();
        self.send(1, seq, &logs(&node, lines)).await.ack()
    }
}

pub(crate) fn batch(node: &str, epoch: u64, seq: u64, payload: &Payload) -> Batch {
    let bytes = payload.encode_to_vec();
    Batch {
        node: node.to_owned(),
        epoch,
        seq,
        zstd_payload: zstd::bulk::compress(&bytes, 1).unwrap().into(),
        unpacked_bytes: bytes.len() as u64,
    }
}

pub(crate) fn identity(node: &str, workload: &str) -> Identity {
    Identity {
        node: node.to_owned(),
        workload: workload.to_owned(),
        workload_kind: String::from("systemd_unit"),
        cgroup_id: 42,
        boot_id: String::from("boot"),
        ..Identity::default()
    }
}

/// Log lines of the workload `web.service`; those that say "error" have that level.
pub(crate) fn logs(node: &str, lines: &[(u64, &str)]) -> Payload {
    let row = |(ts, body): &(u64, &str)| LogRow {
        identity: 0,
        ts: *ts,
        observed_ts: *ts,
        body: body.as_bytes().to_vec().into(),
        level: String::from(if body.contains("error") { "error" } else { "info" }),
        source: String::from("/var/log/web.log"),
        attributes: [(String::from("region"), String::from("north"))].into(),
        ..LogRow::default()
    };
    Payload {
        identities: vec![identity(node, "web.service")],
        logs: lines.iter().map(row).collect(),
        ..Payload::default()
    }
}
