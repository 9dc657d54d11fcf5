//! Spans as the store yields them, read in place: who, when, what, and the two ends of the connection.

use std::net::{IpAddr, SocketAddr};

use arrow::array::{
    Array as _, AsArray as _, Int64Array, MapArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};

/// The columns that are read.
pub(crate) const COLUMNS: [&str; 17] = [
    "ts",
    "cluster",
    "node",
    "namespace",
    "workload",
    "workload_kind",
    "pod",
    "duration_ns",
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "kind",
    "status",
    "source",
    "attributes",
];

/// The `source` of spans that the agent made of what it saw on the wire.
const WAKE: &str = "wake";
/// Attributes that say what is spoken, the most telling first.
pub(crate) const PROTOCOLS: [&str; 4] = ["rpc.system", "db.system.name", "db.system", "messaging.system"];
/// Attributes that only spans of HTTP and DNS have.
pub(crate) const TELLING: [(&str, &str); 3] =
    [("http.request.method", "http"), ("http.method", "http"), ("dns.question.name", "dns")];
/// What else says it.
pub(crate) const NETWORK_PROTOCOL: &str = "network.protocol.name";

/// A dictionary column; '' where absent.
pub(crate) struct Words<'a> {
    keys: &'a PrimitiveArray<Int32Type>,
    values: &'a StringArray,
}

impl<'a> Words<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, name: &str) -> Option<Self> {
        let column = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
        Some(Self { keys: column.keys(), values: column.values().as_string_opt::<i32>()? })
    }

    pub(crate) fn get(&self, row: usize) -> &'a str {
        let key = self.keys.is_valid(row).then(|| usize::try_from(self.keys.value(row)).ok()).flatten();
        key.filter(|key| *key < self.values.len()).map_or("", |key| self.values.value(key))
    }
}

/// A batch of spans, its columns found once.
pub(crate) struct Spans<'a> {
    rows: usize,
    ts: &'a PrimitiveArray<TimestampNanosecondType>,
    duration: &'a Int64Array,
    words: [Words<'a>; 11],
    ids: [&'a StringArray; 3],
    attributes: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Spans<'a> {
    /// `None` if this is no batch of [`COLUMNS`].
    pub(crate) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let word = |name| Words::of(batch, name);
        let id = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
        let attributes = batch.column_by_name("attributes")?.as_map_opt()?;
        Some(Self {
            rows: batch.num_rows(),
            ts: batch.column_by_name("ts")?.as_primitive_opt::<TimestampNanosecondType>()?,
            duration: batch.column_by_name("duration_ns")?.as_primitive_opt::<Int64Type>()?,
            words: [
                word("cluster")?,
                word("node")?,
                word("namespace")?,
                word("workload")?,
                word("workload_kind")?,
                word("pod")?,
                word("service")?,
                word("name")?,
                word("kind")?,
                word("status")?,
                word("source")?,
            ],
            ids: [id("trace_id")?, id("span_id")?, id("parent_span_id")?],
            attributes,
            keys: attributes.keys().as_string_opt::<i32>()?,
            values: attributes.values().as_string_opt::<i32>()?,
        })
    }

    /// Every span of the batch.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Span<'a>> {
        (0..self.rows).map(|row| self.get(row))
    }

    fn get(&self, row: usize) -> Span<'a> {
        let [cluster, node, namespace, workload, workload_kind, pod, service, name, kind, status, source] =
            self.words.each_ref().map(|words| words.get(row));
        let [trace_id, span_id, parent_span_id] =
            self.ids.map(|ids| if ids.is_valid(row) { ids.value(row) } else { "" });
        let offsets = self.attributes.value_offsets();
        let place = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
        Span {
            start_ns: self.ts.value(row),
            duration_ns: self.duration.value(row).max(0),
            cluster,
            node,
            namespace,
            workload,
            workload_kind,
            pod,
            service: if service.is_empty() { workload } else { service },
            name,
            kind,
            failed: status == "error",
            status,
            is_wake: source == WAKE,
            trace_id,
            span_id,
            parent_span_id,
            attributes: Attributes {
                keys: self.keys,
                values: self.values,
                from: place(row),
                to: place(row + 1),
            },
        }
    }
}

/// The attributes of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    keys: &'a StringArray,
    values: &'a StringArray,
    from: usize,
    to: usize,
}

impl<'a> Attributes<'a> {
    #[cfg(test)]
    pub(crate) fn new(keys: &'a StringArray, values: &'a StringArray) -> Self {
        Self { keys, values, from: 0, to: keys.len() }
    }

    /// The value of a key; `None` if it is absent or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        let at = (self.from..self.to).find(|at| self.keys.value(*at) == key)?;
        let value = if self.values.is_valid(at) { self.values.value(at) } else { "" };
        Some(value).filter(|value| !value.is_empty())
    }

    /// The first of these that is there.
    pub(crate) fn first(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| self.get(key))
    }
}

/// One span; what is absent is ''.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) cluster: &'a str,
    pub(crate) node: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) workload: &'a str,
    pub(crate) workload_kind: &'a str,
    pub(crate) pod: &'a str,
    /// `service.name`, else the workload.
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) failed: bool,
    /// Seen on the wire, not sent by the application.
    pub(crate) is_wake: bool,
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
    pub(crate) parent_span_id: &'a str,
    pub(crate) attributes: Attributes<'a>,
}

/// Which end of a request a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The two ends of a connection, as the one who speaks of them sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

impl Span<'_> {
    /// The end that it is of, if it is of one.
    pub(crate) fn role(&self) -> Option<Role> {
        match self.kind {
            "client" | "producer" => Some(Role::Client),
            "server" | "consumer" => Some(Role::Server),
            _ => None,
        }
    }

    /// The address and port of the other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket("network.peer.address", "network.peer.port")
    }

    /// Both ends of its connection, where it says so.
    pub(crate) fn ends(&self) -> Option<Ends> {
        let local = self.socket("network.local.address", "network.local.port")?;
        let peer = self.peer()?;
        Some(match self.role()? {
            Role::Client => Ends { client: local, server: peer },
            Role::Server => Ends { client: peer, server: local },
        })
    }

    fn socket(&self, address: &str, port: &str) -> Option<SocketAddr> {
        let address: IpAddr = self.attributes.get(address)?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), self.attributes.get(port)?.parse().ok()?))
    }

    /// Where an address of its connection is the same one: loopback is each pod's own, other addresses a cluster's.
    pub(crate) fn place(&self, ends: &Ends) -> String {
        if ends.client.ip().is_loopback() || ends.server.ip().is_loopback() {
            format!("{}/{}/{}", self.cluster, self.node, self.pod)
        } else {
            self.cluster.to_owned()
        }
    }

    /// What is spoken: `http`, `grpc`, `postgresql`, ...; '' where nothing says so.
    pub(crate) fn protocol(&self) -> &str {
        let telling = || TELLING.iter().find(|(key, _)| self.attributes.get(key).is_some());
        self.attributes
            .first(&PROTOCOLS)
            .or_else(|| telling().map(|(_, protocol)| *protocol))
            .or_else(|| self.attributes.get(NETWORK_PROTOCOL))
            .unwrap_or_default()
    }

    /// What it calls the other end: a name, never an address.
    pub(crate) fn peer_name(&self) -> Option<&str> {
        let keys: &[&str] = match self.role()? {
            Role::Client => &["peer.service", "server.address", "db.namespace", "messaging.destination.name"],
            Role::Server => &["peer.service", "client.address"],
        };
        let is_name = |name: &&str| name.parse::<IpAddr>().is_err();
        keys.iter().filter_map(|key| self.attributes.get(key)).find(is_name)
    }
}
