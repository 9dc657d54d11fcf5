//! What is counted of HTTP connections, by listener.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::Registry;

/// Why the server let a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// There was no place for it.
    Full,
    /// Its address had as many as one may have.
    Crowded,
    /// No whole request head came in time: it was slow, or the connection was idle.
    Head,
    /// The request's body did not come in time.
    Body,
    /// The answer was not read in time.
    Answer,
}

impl Ended {
    const ALL: [Self; 5] = [Self::Full, Self::Crowded, Self::Head, Self::Body, Self::Answer];
}

impl EncodeLabelValue for Ended {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Full => "full",
            Self::Crowded => "address_full",
            Self::Head => "head_timeout",
            Self::Body => "body_timeout",
            Self::Answer => "answer_timeout",
        };
        word.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameAndReason {
    listener: &'static str,
    reason: Ended,
}

/// Clones count together.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    open: Family<Name, Gauge>,
    ended: Family<NameAndReason, Counter>,
}

impl HttpMetrics {
    /// Declares the metrics; `root` has the process's prefix.
    pub fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("http");
        Self {
            open: registry.register("open_connections", "HTTP connections that are open", Family::default()),
            ended: registry.register(
                "discarded_connections",
                "HTTP connections that the server let go: refused for want of a place (of any, or of one for their address), too slow with a request's head \
                 (or idle) or body, or too slow in reading an answer",
                Family::default(),
            ),
        }
    }

    /// Those of one listener.
    pub fn of(&self, listener: &'static str) -> Listener {
        for reason in Ended::ALL {
            drop(self.ended.get_or_create(&NameAndReason { listener, reason }));
        }
        Listener { all: self.clone(), listener }
    }
}

/// What is counted of one listener.
#[derive(Clone, Debug)]
pub struct Listener {
    all: HttpMetrics,
    listener: &'static str,
}

impl Listener {
    /// Connections that are open.
    pub(super) fn open(&self) -> Gauge {
        self.all.open.get_or_create(&Name { listener: self.listener }).clone()
    }

    /// Connections that were let go for this reason.
    pub fn counter(&self, reason: Ended) -> Counter {
        self.all.ended.get_or_create(&NameAndReason { listener: self.listener, reason }).clone()
    }
}
