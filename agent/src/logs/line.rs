//! From a line's bytes to a row: time, level, trace, redaction.

pub(crate) mod level;
pub(crate) mod time;
mod trace;

use std::borrow::Cow;
use std::sync::Arc;

use proto::v1;

use crate::logs::container::Stream;
use crate::logs::redact::{RawText, Redacted, Rules, redact, redact_key_line};
use level::Level;
use time::LocalZone;

const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// What is the same for every line of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// `log.file.path`, or `journald:<unit>`.
    pub(crate) name: String,
    pub(crate) attributes: Vec<(&'static str, String)>,
}

/// A whole line (of a container: its joined parts), not yet redacted.
pub(crate) struct Text<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) stream: Stream,
    /// The time that the runtime or the journal gives it.
    pub(crate) ts: Option<u64>,
    /// The level that the journal gives it.
    pub(crate) level: Option<Level>,
    /// Neither level nor trace is looked for in it.
    pub(crate) is_plain: bool,
    /// Bytes were left out.
    pub(crate) is_cut: bool,
    /// It should have had a container's framing and had not.
    pub(crate) is_bad: bool,
    /// How many lines of the log it is; joined by `\n`.
    pub(crate) lines: u32,
}

/// Makes rows; one per reading thread.
#[derive(Debug)]
pub(crate) struct Lines {
    rules: Arc<Rules>,
    zone: LocalZone,
}

impl Lines {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, zone: LocalZone::of_host() }
    }

    /// The row but for `identity`. `in_key`: whether the stream is inside a private key of several lines.
    pub(crate) fn row(
        &mut self,
        source: &Source,
        text: &Text<'_>,
        now_ns: u64,
        in_key: &mut bool,
    ) -> v1::LogRow {
        let Text { bytes, stream, ts, level, is_plain, is_cut, is_bad, lines } = text;
        let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let ts = match ts {
            Some(ts) => Some(*ts).filter(|ts| ts.abs_diff(now_ns) <= DAY_NS),
            None => time::leading(line, &mut self.zone, now_ns),
        };
        let level = level.or_else(|| if *is_plain { None } else { level::of_line(line) });
        let trace = if *is_plain { Default::default() } else { trace::of_line(line) };
        let mut body = if *lines > 1 { self.redact_each(line, in_key) } else { self.redact(line, in_key) };
        let truncated = *is_cut || body.as_bytes().len() > proto::MAX_LOG_BODY_BYTES;
        body.truncate(proto::MAX_LOG_BODY_BYTES);
        let mut attributes: std::collections::BTreeMap<String, String> =
            source.attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        if *is_bad {
            attributes.insert("log.format.error".to_owned(), "neither CRI nor docker json".to_owned());
        }
        v1::LogRow {
            identity: 0,
            ts: ts.unwrap_or(now_ns),
            observed_ts: now_ns,
            body: body.into_bytes(),
            level: level.map_or_else(String::new, |level| level.name().to_owned()),
            source: source.name.clone(),
            stream: stream.name().to_owned(),
            truncated,
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            attributes,
        }
    }

    /// Joined lines are redacted as they would be alone: what a rule hides does not depend on what is joined.
    fn redact_each(&self, text: &[u8], in_key: &mut bool) -> Redacted {
        let mut lines = text.split(|&byte| byte == b'\n');
        let mut whole = self.redact(lines.next().unwrap_or_default(), in_key);
        for line in lines {
            whole.push_line(self.redact(line, in_key));
        }
        whole
    }

    fn redact(&self, line: &[u8], in_key: &mut bool) -> Redacted {
        if *in_key {
            if let Some((redacted, goes_on)) = redact_key_line(RawText::new(line)) {
                *in_key = goes_on.0;
                return redacted;
            }
            *in_key = false;
        }
        let redacted = redact(RawText::new(line), &self.rules);
        *in_key = redacted.opens_key();
        redacted
    }
}

/// A row's share of a batch, bytes, roughly.
pub(crate) fn size_of(row: &v1::LogRow) -> usize {
    let attributes: usize = row.attributes.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
    row.body.len() + row.source.len() + row.trace_id.len() + row.span_id.len() + attributes + 48
}

#[cfg(test)]
mod tests;
