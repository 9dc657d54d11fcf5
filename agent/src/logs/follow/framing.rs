//! What turns the lines of one log into rows: container framing, joining of parts, owner, rate.

use std::path::Path;

use crate::logs::container::{self, Container, Join, Stream};
use crate::logs::follow::followed::HandedOn;
use crate::logs::line::{Source, Text};
use crate::logs::outbox::{Outbox, RateLimit};
use crate::logs::owner::Owners;
use crate::logs::record::{Origin, SourceKey};
use crate::logs::tail::Line;
use crate::window::sample::Owner;

/// What is known of a log from where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines as the writer wrote them.
    Plain,
    /// The lines of a workload that the config names.
    Named(String),
    /// Lines framed by a container runtime.
    Container(Container),
}

/// What turns lines into rows.
#[derive(Debug)]
pub(crate) struct Framing {
    kind: Kind,
    source: Source,
    owner: Owner,
    joins: [Join; 3],
    pub(crate) in_key: [bool; 3],
    limit: RateLimit,
    /// Streams whose unfinished line ended in this round.
    pub(crate) closed: [bool; 3],
}

impl Framing {
    pub(crate) fn new(path: &Path, kind: Kind, limit: RateLimit) -> Self {
        let attributes = match &kind {
            Kind::Container(container) => container.attributes.clone(),
            Kind::Plain | Kind::Named(_) => Vec::new(),
        };
        let source = Source { name: path.display().to_string(), attributes };
        let owner = Owner::File(source.name.clone());
        let (joins, in_key, closed) = (Default::default(), [false; 3], [false; 3]);
        Self { kind, source, owner, joins, in_key, limit, closed }
    }

    pub(crate) fn find_owner(&mut self, path: &Path, real: &Path, owners: &mut Owners) {
        self.owner = match &self.kind {
            Kind::Named(name) => Owner::Named(name.clone()),
            Kind::Plain => match owners.of_file(real) {
                Owner::File(_) => Owner::File(self.source.name.clone()),
                other => other,
            },
            Kind::Container(container) => {
                let by_id = || container.id.as_deref().and_then(|id| owners.of_container(id));
                let by_pod = container.pod.clone().map(|pod| Owner::Pod(Box::new(pod)));
                by_pod.or_else(by_id).unwrap_or_else(|| Owner::File(path.display().to_string()))
            }
        };
    }

    pub(crate) fn take(
        &mut self,
        line: Line<'_>,
        source: SourceKey,
        pending: &mut [Option<u64>; 3],
        seen: &HandedOn,
        out: &mut Outbox,
    ) {
        let Line { bytes, start, end, cut } = line;
        let origin = Origin { source, start, end };
        if !matches!(self.kind, Kind::Container(_)) {
            if !seen.covers(start, Stream::None) {
                let text = Text {
                    bytes: bytes.into(),
                    stream: Stream::None,
                    ts: None,
                    level: None,
                    is_cut: cut,
                    is_bad: false,
                };
                out.push(&self.source, &self.owner, &mut self.limit, &text, origin, &mut self.in_key[0]);
            }
            return;
        }
        let entry = container::decode(bytes);
        let (stream, is_bad) = (entry.stream, entry.is_bad);
        if seen.covers(start, stream) {
            return;
        }
        let index = stream.index();
        if entry.is_part || self.joins[index].is_open() {
            pending[index].get_or_insert(start);
        }
        if let Some(joined) = self.joins[index].push(entry) {
            pending[index] = None;
            self.closed[index] = true;
            let is_cut = joined.is_cut || cut;
            let text = Text { bytes: joined.text, stream, ts: joined.ts, level: None, is_cut, is_bad };
            out.push(&self.source, &self.owner, &mut self.limit, &text, origin, &mut self.in_key[index]);
        }
    }

    /// Memory held for parts of lines.
    pub(crate) fn held(&self) -> usize {
        self.joins.iter().map(Join::held).sum()
    }

    /// There is no memory for the parts that wait for more: they are a line, cut. What comes of it begins another.
    pub(crate) fn cut_joins(&mut self, origin: Origin, out: &mut Outbox) {
        self.joins.iter_mut().for_each(Join::cut);
        self.finish_joins(origin, out);
    }

    /// The log has ended: parts that wait for more will not get it.
    pub(crate) fn finish_joins(&mut self, origin: Origin, out: &mut Outbox) {
        for stream in Stream::ALL {
            let index = stream.index();
            if let Some(joined) = self.joins[index].finish() {
                let text = Text {
                    bytes: joined.text,
                    stream,
                    ts: joined.ts,
                    level: None,
                    is_cut: joined.is_cut,
                    is_bad: false,
                };
                out.push(&self.source, &self.owner, &mut self.limit, &text, origin, &mut self.in_key[index]);
            }
        }
    }
}
