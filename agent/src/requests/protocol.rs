//! Decoders of request protocols: bytes of one connection in, what was asked and what was answered out.
//!
//! ```text
//! Chunk (direction, time, head, length, gap) ─▶ Decoder of the connection ─▶ Exchange (name, status, attributes)
//! ```
//! A decoder is pure: no I/O, no clock, no panic, whatever the bytes; everything that it keeps is bounded.
//! It takes whole streams, fragmented anywhere, as well as heads of calls that were cut: what lies behind a cut is passed
//! over by the lengths that the protocol itself gives, and what cannot be found again that way is marked.
//! Literals, keys, values, query strings and bodies end here: an `Exchange` has none of them (docs/requests.md).

mod attributes;
mod bytes;
mod dns;
mod frames;
pub(crate) mod fuzz;
mod http;
mod http1;
mod http2;
mod infer;
mod kafka;
mod mysql;
mod path;
mod pending;
mod postgres;
mod redis;
mod sql;
mod trace;

use std::fmt;

pub use attributes::Attributes;
pub(crate) use dns::PATIENCE_NS;
pub use infer::infer;
pub use kafka::Names;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// What one call, or several calls put together, carried in one direction.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// Which way.
    pub direction: Direction,
    /// When, in nanoseconds of any clock that does not go back.
    pub ts_ns: u64,
    /// The first bytes.
    pub bytes: &'a [u8],
    /// How many bytes there were: more than `bytes` holds if the head was cut.
    pub total: u64,
    /// Something of this connection, of either direction, was lost before this chunk.
    pub gap: bool,
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direction, ts_ns, bytes, total, gap } = self;
        let bytes = bytes.len();
        write!(formatter, "Chunk({direction:?} at {ts_ns}, {bytes} of {total} bytes, gap {gap})")
    }
}

/// Reads one connection.
pub trait Decoder: Send {
    /// Takes what came next, in the order in which it was seen, and adds the exchanges that ended with it.
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>);

    /// Takes a call of which the programs have told frames, without what nobody reads of them (HTTP/2). `begins`: where the
    /// first one begins was found by its looks; `is_cut`: frames behind them were not told.
    fn frames(&mut self, _chunk: &Chunk<'_>, _begins: bool, _is_cut: bool, _out: &mut Vec<Exchange>) {}

    /// What is open has ended: the connection was closed, or the caller knows that the answer under way is over.
    ///
    /// An answer that has begun ends here; a request without one is given as failed, with the error `no_response`.
    /// What outlives requests (prepared statements, header tables) stays, so that a connection may go on.
    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>);

    /// Requests that wait for their answer, or whose answer is under way.
    fn open(&self) -> usize;

    /// Whether no request begins with this call of the client, the first of a run: it belongs to one that began before, or to
    /// none. Of protocols in which the server may say something before it was asked all (HTTP/1).
    fn goes_on(&self, _bytes: &[u8], _total: u64) -> bool {
        false
    }

    /// The trace that a request says it belongs to, by its first bytes and before they were decoded (HTTP/1).
    fn said(&self, _bytes: &[u8]) -> Option<TraceContext> {
        None
    }

    /// Adds what happened to requests since this was asked last, of protocols that have several under way at once and say
    /// which is which (HTTP/2). Others leave it at nothing.
    fn moves(&mut self, _into: &mut Vec<Move>) {}

    /// Bytes that it holds now, beside itself: never less than half of what is true, and told without a look at each thing.
    fn memory(&self) -> usize;
}

/// What an open request takes with its texts, and one with a statement.
const OPEN_BYTES: usize = 1_024;
const OPEN_STATEMENT_BYTES: usize = 2_048;

impl fmt::Debug for dyn Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Decoder")
    }
}

/// Something came of a request that is told from others by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// As `Exchange::number`; never 0.
    pub number: u32,
    /// It begins with this, then, and says that it belongs to this trace.
    pub begins: Option<(u64, Option<TraceContext>)>,
}

/// `error_type` of what was not answered.
pub const NO_RESPONSE: &str = "no_response";

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was spoken; gRPC is told from HTTP/2 by its content type.
    pub protocol: Protocol,
    /// Which one of its connection, where several are under way at once: the stream of HTTP/2; else 0.
    pub number: u32,
    /// First byte of the request.
    pub start_ns: u64,
    /// First byte of the answer.
    pub first_byte_ns: Option<u64>,
    /// Last byte of the answer, as far as it was seen.
    pub end_ns: u64,
    /// Name of the span: operation and resource, of low cardinality.
    pub name: String,
    /// As a server sees it: HTTP from 500 on; a client that goes by the conventions counts 400 and above as well.
    pub failed: bool,
    /// `error.type`: a status, a code, or one of a few words.
    pub error_type: Option<String>,
    /// OpenTelemetry attributes, without literals.
    pub attributes: Attributes,
    /// Of HTTP: the status, which is an attribute too.
    pub http_status: Option<u16>,
    /// Whether the request itself names its server, and the server's port: as attributes, in place of the connection's.
    pub names_server: [bool; 2],
    /// The trace that the application itself said this belongs to.
    pub trace: Option<TraceContext>,
    /// A head was cut before all of the above could be read.
    pub truncated: bool,
    /// Bytes of this connection were lost before: there may have been more exchanges than were given.
    pub at_least: bool,
}

impl Exchange {
    /// One that began, and of which nothing else is known yet.
    pub fn new(protocol: Protocol, start_ns: u64) -> Self {
        Self {
            protocol,
            number: 0,
            start_ns,
            first_byte_ns: None,
            end_ns: start_ns,
            name: String::new(),
            failed: false,
            error_type: None,
            attributes: Attributes::default(),
            http_status: None,
            names_server: [false; 2],
            trace: None,
            truncated: false,
            at_least: false,
        }
    }

    /// The request names its server.
    fn server(&mut self, address: &str, port: Option<&str>) {
        let said = [("server.address", Some(address)), ("server.port", port)];
        for ((key, value), is_named) in said.into_iter().zip(&mut self.names_server) {
            let Some(value) = value else { continue };
            match std::mem::replace(is_named, true) {
                false => self.attributes.push(key, value),
                true => self.attributes.set(key, value),
            }
        }
    }

    /// Nobody answered.
    fn unanswered(&mut self, ts_ns: u64) {
        self.failed = true;
        self.error_type = Some(NO_RESPONSE.to_owned());
        self.end_ns = ts_ns.max(self.start_ns);
    }

    /// Whether and how it was answered was not seen; `ts_ns` is the last that was seen of it, if anything was.
    pub fn unseen(&mut self, ts_ns: Option<u64>) {
        self.truncated = true;
        self.end_ns = self.end_ns.max(self.start_ns).max(ts_ns.unwrap_or(0));
    }

    /// Whether it is not known how it was answered: of protocols whose answers have a status, that was not seen, though
    /// something of the answer may have been.
    pub fn is_unseen(&self) -> bool {
        if self.failed || self.error_type.is_some() {
            return false;
        }
        match self.protocol {
            Protocol::Http1 | Protocol::Http2 => self.http_status.is_none(),
            Protocol::Grpc => self.http_status.is_none() && self.attribute("rpc.grpc.status_code").is_none(),
            _ => self.truncated && self.first_byte_ns.is_none(),
        }
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)
    }
}

/// W3C `traceparent`: whose child the server's span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; never all zero.
    pub span_id: [u8; 8],
    /// Whether the caller recorded its span.
    pub sampled: bool,
}

/// What is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// DNS over UDP or TCP.
    Dns,
    /// PostgreSQL, version 3 of its protocol.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis and what speaks as it does.
    Redis,
    /// Kafka.
    Kafka,
}

impl Protocol {
    /// As `network.protocol.name` or, of databases, `db.system.name` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http2 => "http",
            Self::Grpc => "grpc",
            Self::Dns => "dns",
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }
}

/// A decoder for a connection that is at its beginning, or anywhere else.
pub fn decoder(protocol: Protocol) -> Box<dyn Decoder> {
    decoder_among(protocol, &Names::default())
}

/// The same of one among others, which have learnt names of topics.
pub fn decoder_among(protocol: Protocol, names: &Names) -> Box<dyn Decoder> {
    match protocol {
        Protocol::Http1 => Box::new(http1::Http1::new()),
        Protocol::Http2 | Protocol::Grpc => Box::new(http2::Http2::new()),
        Protocol::Postgres => Box::new(postgres::Postgres::new()),
        Protocol::Mysql => Box::new(mysql::Mysql::new()),
        Protocol::Redis => Box::new(redis::Redis::new()),
        Protocol::Kafka => Box::new(kafka::Kafka::new(names)),
        Protocol::Dns => Box::new(dns::Dns::new()),
    }
}

#[cfg(test)]
mod tests;
