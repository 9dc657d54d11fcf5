//! What turns the lines of one log into rows: container framing, joining of parts and of lines, owner, rate.

use std::path::Path;
use std::time::Duration;

use crate::logs::annotations::{Annotations, Reading, Told, Whose};
use crate::logs::container::{self, Container, Entry, Join, Stream};
use crate::logs::follow::followed::HandedOn;
use crate::logs::follow::pending::{Ended, Pending};
use crate::logs::line::{Source, Text};
use crate::logs::multiline::{Group, Head, Multiline, Part};
use crate::logs::outbox::{Outbox, RateLimit};
use crate::logs::owner::Owners;
use crate::logs::record::{Origin, SourceKey};
use crate::logs::status::LogStatus;
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
    /// As the config says; the pod may have another wish.
    multiline: Multiline,
    told: Told,
    /// Who writes it was not looked for yet.
    is_sought: bool,
    joins: [Join; 3],
    groups: [Group; 3],
    /// Since when what is read now is there, nearly.
    now: Duration,
    /// What the lines of this round ended, per stream.
    pub(crate) ended: [Ended; 3],
    rows: Rows,
}

/// What the rows of a log have in common.
#[derive(Debug)]
struct Rows {
    source: Source,
    owner: Owner,
    limit: RateLimit,
    is_plain: bool,
    in_key: [bool; 3],
}

impl Rows {
    fn push(&mut self, stream: Stream, bytes: &[u8], head: Head, out: &mut Outbox) {
        let Head { ts, is_cut, is_bad, origin, lines } = head;
        let is_plain = self.is_plain;
        let text = Text { bytes: bytes.into(), stream, ts, level: None, is_plain, is_cut, is_bad, lines };
        let in_key = &mut self.in_key[stream.index()];
        out.push(&self.source, &self.owner, &mut self.limit, &text, origin, in_key);
    }
}

impl Framing {
    pub(crate) fn new(path: &Path, kind: Kind, limit: RateLimit, multiline: Multiline) -> Self {
        let attributes = match &kind {
            Kind::Container(container) => container.attributes.clone(),
            Kind::Plain | Kind::Named(_) => Vec::new(),
        };
        let source = Source { name: path.display().to_string(), attributes };
        let owner = Owner::File(source.name.clone());
        let rows = Rows { source, owner, limit, is_plain: false, in_key: [false; 3] };
        let (joins, groups, ended) = (Default::default(), Default::default(), Default::default());
        let told = Told::default();
        Self { kind, multiline, told, is_sought: false, joins, groups, now: Duration::ZERO, ended, rows }
    }

    pub(crate) fn find_owner(&mut self, path: &Path, real: &Path, owners: &mut Owners) {
        self.rows.owner = match &self.kind {
            Kind::Named(name) => Owner::Named(name.clone()),
            Kind::Plain => match owners.of_file(real) {
                Owner::File(_) => Owner::File(self.rows.source.name.clone()),
                other => other,
            },
            Kind::Container(container) => {
                let by_id =
                    |id: &String| owners.of_container(id).unwrap_or_else(|| Owner::Container(id.clone()));
                let by_pod = container.pod.clone().map(|pod| Owner::Pod(Box::new(pod)));
                by_pod
                    .or_else(|| container.id.as_ref().map(by_id))
                    .unwrap_or_else(|| Owner::File(path.display().to_string()))
            }
        };
        self.is_sought = matches!(self.kind, Kind::Plain) && owners.is_sought(real);
    }

    /// Asks whether the log is to be read, and how. What was read of one that is no longer to be read is let go.
    pub(crate) fn ask(
        &mut self,
        path: &Path,
        annotations: &mut Annotations,
        status: &LogStatus,
        now: Duration,
    ) -> Reading {
        let owner = if self.is_sought { Whose::Sought } else { Whose::Owner(&self.rows.owner) };
        annotations.ask(owner, &mut self.told, path, status, now);
        self.rows.is_plain = self.told.is_plain;
        let reading = self.told.reading;
        if matches!(reading, Reading::Off | Reading::Unknown) {
            self.let_go();
        }
        reading
    }

    /// What was told of the log's pod.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    fn let_go(&mut self) {
        for index in 0..Stream::ALL.len() {
            self.joins[index] = Join::default();
            if self.groups[index].finish(|_, _| {}) {
                self.ended[index].all();
            }
        }
    }

    /// Streams inside a private key of several lines.
    pub(crate) fn in_key(&self) -> [bool; 3] {
        self.rows.in_key
    }

    /// Streams that a checkpoint says are inside one.
    pub(crate) fn resume_keys(&mut self, streams: &[String]) {
        for stream in Stream::ALL {
            self.rows.in_key[stream.index()] |= streams.iter().any(|name| name == stream.name());
        }
    }

    /// The lines that follow are read now.
    pub(crate) fn begin_round(&mut self, now: Duration) {
        self.now = now;
    }

    pub(crate) fn take(
        &mut self,
        line: Line<'_>,
        source: SourceKey,
        pending: &mut [Pending; 3],
        seen: &HandedOn,
        out: &mut Outbox,
    ) {
        let Line { bytes, start, end, cut } = line;
        let origin = Origin { source, start, end };
        let entry = match self.kind {
            Kind::Container(_) => container::decode(bytes),
            Kind::Plain | Kind::Named(_) => Entry::plain(bytes),
        };
        let (stream, is_bad) = (entry.stream, entry.is_bad);
        if seen.covers(start, stream) {
            return;
        }
        if matches!(self.told.reading, Reading::Off | Reading::Unknown) {
            out.pass_over(self.told.reading, 1);
            *pending = Default::default();
            self.ended.iter_mut().for_each(Ended::all);
            return;
        }
        let index = stream.index();
        pending[index].part(start);
        let Some(joined) = self.joins[index].push(entry) else { return };
        let is_cut = joined.is_cut || cut;
        let part = Part { bytes: &joined.text, ts: joined.ts, is_cut, is_bad, origin };
        let Self { multiline, told, groups, ended, rows, now, .. } = self;
        let multiline = told.multiline.as_ref().unwrap_or(multiline);
        if let Multiline::Off = multiline {
            groups[index].finish(|text, head| rows.push(stream, text, head, out));
            rows.push(stream, part.bytes, Head { ts: part.ts, is_cut, is_bad, origin, lines: 1 }, out);
            pending[index] = Pending::default();
            ended[index].all();
        } else {
            let is_next =
                groups[index].push(multiline, part, *now, |text, head| rows.push(stream, text, head, out));
            pending[index].line_ended(is_next);
            ended[index].line(is_next);
        }
    }

    /// Hands on the records of these streams; which of them there were.
    pub(crate) fn finish_groups(&mut self, wanted: impl Fn(&Group) -> bool, out: &mut Outbox) -> [bool; 3] {
        let Self { groups, rows, .. } = self;
        Stream::ALL.map(|stream| {
            let group = &mut groups[stream.index()];
            wanted(group) && group.finish(|text, head| rows.push(stream, text, head, out))
        })
    }

    /// Whether a record waits for more lines, and whether one has waited long enough.
    pub(crate) fn waiting(&self, now: Duration) -> (bool, bool) {
        let mut open = self.groups.iter().filter(|group| group.is_open()).peekable();
        (open.peek().is_some(), open.any(|group| group.is_quiet(now)))
    }

    /// Memory held for parts of lines and lines of records.
    pub(crate) fn held(&self) -> usize {
        self.joins.iter().map(Join::held).chain(self.groups.iter().map(Group::held)).sum()
    }

    /// There is no memory for the parts that wait for more: they are a line, cut. What comes of it begins another.
    pub(crate) fn cut_joins(&mut self, origin: Origin, out: &mut Outbox) {
        self.joins.iter_mut().for_each(Join::cut);
        self.finish_joins(origin, out);
    }

    /// The log has ended: parts and records that wait for more will not get it.
    pub(crate) fn finish_joins(&mut self, origin: Origin, out: &mut Outbox) {
        let Self { multiline, told, joins, groups, rows, now, .. } = self;
        let multiline = told.multiline.as_ref().unwrap_or(multiline);
        for stream in Stream::ALL {
            let (index, mut done) = (stream.index(), |text: &[u8], head| rows.push(stream, text, head, out));
            if let Some(joined) = joins[index].finish() {
                let (bytes, ts, is_cut) = (&*joined.text, joined.ts, joined.is_cut);
                groups[index].push(
                    multiline,
                    Part { bytes, ts, is_cut, is_bad: false, origin },
                    *now,
                    &mut done,
                );
            }
            groups[index].finish(done);
        }
    }
}
