//! The systemd journal, as `journalctl -o export --follow` writes it.
//!
//! The cursor of the last durable entry is the checkpoint; an empty one says that the journal was empty at the first
//! start, so that everything in it is new. Without either, only what comes from now on is read. When journalctl ends it is started again behind the last
//! entry that was read, after a wait that grows.

mod complaints;
mod export;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;

use crate::logs::annotations::{Annotations, Reading};
use crate::logs::checkpoint::{Checkpoints, Mark, Position};
use crate::logs::config::{From, LogsConfig};
use crate::logs::container::Stream;
use crate::logs::line::level::Level;
use crate::logs::line::{Source, Text};
use crate::logs::outbox::{Outbox, RateLimit};
use crate::logs::owner::Owners;
use crate::logs::record::{Chunk, Origin, SourceKey};
use crate::logs::redact::Rules;
use crate::logs::status::LogStatus;
use crate::logs::stop::Stop;
use crate::window::sample::Owner;
use complaints::Complaints;
pub(crate) use export::{Entry, Parser};

/// Begins the name of every source.
const PREFIX: &str = "journald:";
/// What may not work.
const JOURNAL: &str = "journal";
/// How long it may take to end once its output has ended, in steps.
const ENDING: [Duration; 10] = [Duration::from_millis(20); 10];
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Most units whose rate is remembered.
const MAX_UNITS: usize = 1024;

/// What the journal needs from outside.
#[derive(Debug)]
pub(crate) struct Deps {
    pub(crate) rules: Arc<Rules>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) clock: Clock,
    pub(crate) owners: Owners,
    pub(crate) annotations: Annotations,
    pub(crate) status: Arc<LogStatus>,
}

/// Where reading begins when there is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// At its first entry.
    First,
    /// Behind the entry that is its last one now.
    End,
    /// At this time, in seconds since the Unix epoch.
    Since(u64),
}

/// Follows the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    program: String,
    cursor: Option<String>,
    /// Without a cursor: where reading begins.
    begin: Begin,
    checkpoints: Checkpoints,
    clock: Clock,
    owners: Owners,
    annotations: Annotations,
    out: Outbox,
    status: Arc<LogStatus>,
    per_second: u32,
    limits: HashMap<String, RateLimit>,
    /// Units in the middle of a private key.
    in_key: BTreeSet<String>,
    number: u64,
}

impl Journal {
    pub(crate) fn new(config: &LogsConfig, deps: Deps) -> Self {
        let Deps { rules, checkpoints, clock, owners, annotations, status } = deps;
        let (cursor, begin) = match checkpoints.resume().positions.remove(&SourceKey::Journal) {
            Some(Position::Journal(cursor)) if cursor.is_empty() => (None, Begin::First),
            Some(Position::Journal(cursor)) => (Some(cursor), Begin::First),
            _ if config.from == From::Beginning => (None, Begin::First),
            _ => (None, Begin::End),
        };
        Self {
            program: config.journal.journalctl.clone(),
            begin,
            cursor,
            checkpoints,
            owners,
            annotations,
            out: Outbox::new(rules, clock.clone(), Arc::clone(&status)),
            clock,
            status,
            per_second: config.max_lines_per_second,
            limits: HashMap::new(),
            in_key: BTreeSet::new(),
            number: 0,
        }
    }

    /// Reads until the stop, or until `emit` says so.
    pub(crate) fn run(mut self, stop: &Stop, emit: &mut dyn FnMut(Chunk) -> bool) {
        let mut wait = FIRST_WAIT;
        if self.cursor.is_none() && self.begin == Begin::End {
            self.begin_at_end();
        }
        while !stop.is_set() {
            let before = self.number;
            match self.spawn() {
                Ok((mut child, mut complaints)) => {
                    let output = child.stdout.take();
                    let goes_on =
                        output.is_none_or(|output| self.follow(output, &mut complaints, stop, emit));
                    let ended = end(&mut child, stop);
                    if !goes_on {
                        return;
                    }
                    if self.number == before && !stop.is_set() {
                        self.miss(&format!("{ended}: {}", complaints.last_line()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.miss("not found"),
                Err(error) => self.miss(&error.to_string()),
            }
            wait = if self.number > before { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
            stop.wait(None, wait);
        }
    }

    /// Notes the last entry there is, so that what comes while the agent is stopped is not skipped. Where that cannot be
    /// told, reading begins now.
    fn begin_at_end(&mut self) {
        let now_ns = self.clock.now_unix_ns();
        self.begin = Begin::Since(now_ns / 1_000_000_000);
        let Some(last) = self.last_cursor() else { return };
        let position = Some(Position::Journal(last.clone()));
        self.checkpoints.commit(&[Mark { source: SourceKey::Journal, position }]);
        if let Err(error) = self.checkpoints.persist(now_ns) {
            tracing::warn!(error = daemon::log::chain(&error), "checkpoints not written");
        }
        self.begin = Begin::First;
        self.cursor = Some(last).filter(|cursor| !cursor.is_empty());
    }

    /// The cursor of the last entry, empty where there is no entry; `None` when journalctl does not tell.
    fn last_cursor(&self) -> Option<String> {
        let output = Command::new(&self.program)
            .args(["-o", "export", "-n", "1", "--no-pager", "--quiet"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let mut last = None;
        Parser::default().feed(&output.stdout, |entry| last = Some(entry.cursor)).ok()?;
        match last {
            Some(cursor) => Some(cursor).filter(|cursor| !cursor.is_empty()),
            None => (output.status.success() && output.stdout.is_empty()).then(String::new),
        }
    }

    fn miss(&self, why: &str) {
        self.status.miss(JOURNAL, Path::new(""), format!("{PREFIX} {}: {why}", self.program));
    }

    fn spawn(&self) -> io::Result<(Child, Complaints)> {
        let mut command = Command::new(&self.program);
        command.args(["-o", "export", "--follow", "--no-tail", "--no-pager", "--quiet"]);
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        } else if let Begin::Since(seconds) = self.begin {
            command.arg(format!("--since=@{seconds}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        match Complaints::new(child.stderr.take()) {
            Ok(complaints) => Ok((child, complaints)),
            Err(error) => {
                kill(&mut child);
                Err(error)
            }
        }
    }

    /// Reads one journalctl to its end. Whether to start another.
    fn follow(
        &mut self,
        mut output: ChildStdout,
        complaints: &mut Complaints,
        stop: &Stop,
        emit: &mut dyn FnMut(Chunk) -> bool,
    ) -> bool {
        let mut parser = Parser::default();
        let mut buffer = vec![0; 64 << 10];
        let mut entries = Vec::new();
        while !stop.is_set() {
            // nothing more at once: what there is goes on its way
            let is_ready = stop.wait(Some(output.as_fd()), Duration::ZERO);
            if !is_ready {
                if let Some(chunk) = self.out.take()
                    && !emit(chunk)
                {
                    return false;
                }
                complaints.take();
                if !stop.wait(Some(output.as_fd()), Duration::from_secs(60)) {
                    // it has nothing to say, and goes on
                    self.status.works(JOURNAL, Path::new(""));
                }
                continue;
            }
            let count = match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "journalctl cannot be read");
                    break;
                }
            };
            let fed = parser.feed(&buffer[..count], |entry| entries.push(entry));
            if !entries.is_empty() {
                self.status.works(JOURNAL, Path::new(""));
            }
            for entry in entries.drain(..) {
                self.take(entry);
            }
            if self.out.is_full()
                && let Some(chunk) = self.out.take()
                && !emit(chunk)
            {
                return false;
            }
            if let Err(error) = fed {
                tracing::warn!(error = &error as &dyn std::error::Error, "journal export not understood");
                break;
            }
        }
        self.out.take().is_none_or(emit)
    }

    fn take(&mut self, entry: Entry) {
        if !entry.cursor.is_empty() {
            self.out.mark(SourceKey::Journal, Some(Position::Journal(entry.cursor.clone())));
            self.cursor = Some(entry.cursor.clone());
        }
        let name = [&entry.unit, &entry.identifier, &entry.comm, &entry.transport]
            .into_iter()
            .find(|name| !name.is_empty());
        let unit = name.cloned().unwrap_or_default();
        let owner = self.owner(&entry);
        let reading = self.annotations.at_once(&owner);
        if reading != Reading::On {
            self.out.pass_over(reading, 1);
            return;
        }
        let mut attributes = Vec::new();
        if !entry.identifier.is_empty() {
            attributes.push(("log.syslog.appname", entry.identifier));
        }
        if !entry.pid.is_empty() {
            attributes.push(("process.pid", entry.pid));
        }
        let text = Text {
            bytes: entry.message.into(),
            stream: Stream::None,
            ts: entry.realtime_us.and_then(|us| us.checked_mul(1000)),
            level: entry.priority.and_then(Level::of_syslog),
            is_plain: false,
            is_cut: entry.is_cut,
            is_bad: false,
            lines: 1,
        };
        let origin = Origin { source: SourceKey::Journal, start: self.number, end: self.number + 1 };
        self.number += 1;
        if self.limits.len() >= MAX_UNITS {
            self.limits.clear();
        }
        let source = Source { name: format!("{PREFIX}{unit}"), attributes };
        let mut in_key = self.in_key.contains(&unit);
        let limit = self.limits.entry(unit.clone()).or_insert_with(|| RateLimit::new(self.per_second));
        self.out.push(&source, &owner, limit, &text, origin, &mut in_key);
        if in_key && self.in_key.len() < MAX_UNITS {
            self.in_key.insert(unit);
        } else {
            self.in_key.remove(&unit);
        }
    }

    /// The unit's cgroup; of one that is gone its name; in the root cgroup the executable.
    fn owner(&self, entry: &Entry) -> Owner {
        if let Some(owner) = self.owners.of_cgroup(&entry.cgroup) {
            return owner;
        }
        match entry {
            Entry { transport, .. } if transport == "kernel" => Owner::Host("kernel".to_owned()),
            Entry { unit, .. } if !unit.is_empty() => Owner::Named(unit.clone()),
            Entry { comm, .. } if !comm.is_empty() => Owner::Host(comm.clone()),
            Entry { identifier, .. } if !identifier.is_empty() => Owner::Named(identifier.clone()),
            _ => Owner::File("journald".to_owned()),
        }
    }
}

/// Ends it, unless it ends by itself now; says how it ended.
fn end(child: &mut Child, stop: &Stop) -> String {
    for step in ENDING {
        if stop.is_set() || !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        stop.wait(None, step);
    }
    kill(child).map_or_else(|| "ended".to_owned(), |status| status.to_string())
}

fn kill(child: &mut Child) -> Option<ExitStatus> {
    // it may have ended by itself
    match child.kill().and_then(|()| child.wait()) {
        Ok(status) => Some(status),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "journalctl not ended");
            None
        }
    }
}

#[cfg(test)]
mod tests;
