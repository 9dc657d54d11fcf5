//! `traces_spanmetrics_*`: calls and latency per service, span name, kind and status. What applications send is counted by its
//! spans; what agents saw by what they counted, whatever became of the spans.

use std::collections::BTreeMap;

use super::seconds::Seconds;
use crate::requests::counted::Counted;
use crate::requests::pairs::cut;
use crate::requests::span::Span;

/// Names of spans that one workload may have series for.
const MOST_NAMES: usize = 512;
/// Series of all workloads; each is a counter and a histogram of 15 buckets.
const MOST_SERIES: usize = 8_000;
/// What is beyond.
pub(super) const OTHER: &str = "other";

/// Whose calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) is_wake: bool,
}

/// Which of them, beside their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
}

type Names = BTreeMap<String, BTreeMap<Kind, Seconds>>;

/// Every series.
#[derive(Debug, Default)]
pub(super) struct Calls {
    services: BTreeMap<Service, Names>,
    series: usize,
}

impl Calls {
    /// Counts a span; whether it went into `other`.
    pub(super) fn add(&mut self, span: &Span<'_>) -> bool {
        let service =
            Service { namespace: cut(span.namespace), name: cut(span.service), is_wake: span.is_wake };
        let kind = Kind { kind: kind(span.kind), status: status(span.status) };
        let (seconds, is_folded) = self.place(service, span.name, kind);
        seconds.observe(span.duration_ns);
        is_folded
    }

    /// Counts what an agent has counted; whether it went into `other`.
    pub(super) fn add_counted(&mut self, counted: &Counted<'_>) -> bool {
        let service =
            Service { namespace: cut(counted.namespace), name: cut(counted.workload), is_wake: true };
        let kind = Kind { kind: kind(counted.kind), status: status(counted.status) };
        let (seconds, is_folded) = self.place(service, counted.name, kind);
        seconds.add(&counted.all());
        is_folded
    }

    /// Where something is counted, and whether that is `other`.
    fn place(&mut self, mut service: Service, name: &str, kind: Kind) -> (&mut Seconds, bool) {
        let is_wake = service.is_wake;
        let mut name = cut(name);
        let known =
            |names: &Names, name: &str| names.get(name).is_some_and(|kinds| kinds.contains_key(&kind));
        let mut is_folded = false;
        if !self.services.get(&service).is_some_and(|names| known(names, &name)) {
            let names = self.services.get(&service);
            let is_full = names.is_some_and(|names| names.len() >= MOST_NAMES && !names.contains_key(&name));
            if is_full {
                (name, is_folded) = (OTHER.to_owned(), true);
            }
            // `other` of all services: few, so that they may be beyond the bound
            if self.series >= MOST_SERIES && !names.is_some_and(|names| known(names, &name)) {
                service = Service { namespace: String::new(), name: OTHER.to_owned(), is_wake };
                (name, is_folded) = (OTHER.to_owned(), true);
            }
        }
        let seconds = self.services.entry(service).or_default().entry(name).or_default();
        if !seconds.contains_key(&kind) {
            self.series += 1;
        }
        (seconds.entry(kind).or_default(), is_folded)
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    /// Every series, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Service, &str, Kind, &Seconds)> {
        self.services.iter().flat_map(|(service, names)| {
            names.iter().flat_map(move |(name, kinds)| {
                kinds.iter().map(move |(kind, seconds)| (service, name.as_str(), *kind, seconds))
            })
        })
    }
}

fn kind(kind: &str) -> &'static str {
    match kind {
        "internal" => "SPAN_KIND_INTERNAL",
        "server" => "SPAN_KIND_SERVER",
        "client" => "SPAN_KIND_CLIENT",
        "producer" => "SPAN_KIND_PRODUCER",
        "consumer" => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

fn status(status: &str) -> &'static str {
    match status {
        "ok" => "STATUS_CODE_OK",
        "error" => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}
