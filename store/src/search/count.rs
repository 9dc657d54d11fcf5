//! Counting log lines by time and by level or workload: from sketches where they are exact, else from the rows.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;

use super::run::{chunk_keys, passing};
use super::{LogRequest, Matcher, Plan, RequestError, TABLE};
use crate::ScanError;
use crate::rows::Chunk;
use crate::segment::{Group, Unpacked};
use crate::snapshot::Snapshot;

const MINUTE_NS: i64 = 60_000_000_000;
/// The most steps that an answer may have.
const MAX_STEPS: i64 = 100_000;
/// The most buckets, of all keys together, where nobody asks for fewer.
pub(crate) const MAX_BUCKETS: usize = 1_000_000;

/// What to count by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistogramBy {
    /// Time alone.
    #[default]
    Time,
    /// Level.
    Level,
    /// Workload.
    Workload,
    /// Namespace.
    Namespace,
    /// Pod.
    Pod,
}

/// What to count. `limit`, `newest_first` and `after_lsn` of the request do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramRequest {
    /// Which lines.
    pub logs: LogRequest,
    /// The width of a bucket, ns; buckets start at its multiples. `None`: one bucket for everything, at 0.
    pub step_ns: Option<i64>,
    /// Counted apart.
    pub by: HistogramBy,
}

/// Counts, and what could not be counted.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Buckets with lines, by time, then by key.
    pub buckets: Vec<HistogramBucket>,
    /// Parts that could not be read.
    pub errors: Vec<ScanError>,
}

/// The lines of one bucket and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramBucket {
    /// Where the bucket starts, ns.
    pub start_ns: i64,
    /// The level, workload, namespace or pod; '' where absent or not asked for.
    pub key: String,
    /// Lines.
    pub count: u64,
}

/// A histogram request that was understood.
#[derive(Debug)]
pub(crate) struct HistogramPlan {
    pub(crate) logs: Plan,
    step_ns: Option<i64>,
    by: HistogramBy,
    most: usize,
    /// Whether sketches know all that the conditions ask about.
    sketchable: bool,
}

impl HistogramBy {
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Time => None,
            Self::Level => Some("level"),
            Self::Workload => Some("workload"),
            Self::Namespace => Some("namespace"),
            Self::Pod => Some("pod"),
        }
    }
}

impl HistogramPlan {
    pub(crate) fn new(request: HistogramRequest, most: usize) -> Result<Self, RequestError> {
        let HistogramRequest { logs, step_ns, by } = request;
        if step_ns.is_some_and(|step| step <= 0) {
            return Err(RequestError::Step("must be positive".to_owned()));
        }
        let matcher = Matcher::new(&logs)?;
        let more: Vec<&str> = by.column().into_iter().collect();
        let minutes = step_ns.is_none_or(|step| step % MINUTE_NS == 0);
        let asks = |name: &str| logs.equals.iter().filter(|(column, _)| column == name).count();
        let at_most_once = asks("namespace") <= 1 && asks("workload") <= 1 && asks("level") <= 1;
        let known = at_most_once
            && logs
                .equals
                .iter()
                .all(|(name, _)| matches!(name.as_str(), "namespace" | "workload" | "level"));
        // of pods there are only totals
        let timed = by == HistogramBy::Pod && step_ns.is_some();
        let sketchable = matcher.is_empty() && minutes && known && !timed;
        let mut logs = Plan::with_columns(logs, matcher, &more)?.without_positions()?;
        logs.after_lsn = i64::MIN;
        logs.counts_only = step_ns.is_none() && by == HistogramBy::Time && logs.filters.is_empty();
        Ok(Self { logs, step_ns, by, most, sketchable })
    }

    /// Refuses more steps than an answer may have, between the first and the last row that there is.
    fn check_steps(&self, times: Option<(i64, i64)>) -> Result<(), RequestError> {
        let (Some(step), Some((oldest, newest))) = (self.step_ns, times) else { return Ok(()) };
        let last = newest.min(self.logs.to_ns.saturating_sub(1));
        let steps = last.saturating_sub(oldest.max(self.logs.from_ns)) / step;
        if steps > MAX_STEPS {
            return Err(RequestError::Step(format!("{steps} buckets, more than {MAX_STEPS}")));
        }
        Ok(())
    }

    fn bucket(&self, ts: i64) -> i64 {
        self.step_ns.map_or(0, |step| ts.div_euclid(step).saturating_mul(step))
    }
}

/// Counts as they come together; a key costs its string only once.
#[derive(Debug)]
pub(crate) struct Counts {
    most: usize,
    by_key: BTreeMap<String, BTreeMap<i64, u64>>,
    buckets: usize,
}

impl Counts {
    fn add(&mut self, key: &str, bucket: i64, count: u64) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.to_owned(), BTreeMap::new());
        }
        let Some(buckets) = self.by_key.get_mut(key) else { return };
        let before = buckets.len();
        *buckets.entry(bucket).or_default() += count;
        self.buckets += buckets.len() - before;
    }

    fn is_full(&self) -> bool {
        self.buckets > self.most
    }
}

/// Counts the lines of a snapshot.
///
/// # Errors
/// If there are more buckets than an answer may have.
pub(crate) fn histogram(snapshot: &Snapshot, plan: &HistogramPlan) -> Result<Histogram, RequestError> {
    plan.check_steps(snapshot.log_times())?;
    let mut counts = Counts { most: plan.most, by_key: BTreeMap::new(), buckets: 0 };
    let mut errors = Vec::new();
    for segment in snapshot.segments(TABLE) {
        if plan.logs.stop.is_set() || counts.is_full() {
            break;
        }
        if !plan.logs.overlaps(segment.times()) {
            continue;
        }
        let from_sketch = plan.sketchable
            && sketch_covers(plan, segment.times())
            && count_sketch(snapshot, plan, segment, &mut counts);
        if from_sketch {
            continue;
        }
        let mut take = |_: &[u32], keys: &RecordBatch, _: &Unpacked| {
            count_rows(plan, keys, &mut counts);
            !counts.is_full()
        };
        if let Err(error) = snapshot.reader.log_keys(segment, &plan.logs, &mut Unpacked::new(0), &mut take) {
            errors.push(error);
        }
    }
    for chunk in snapshot.chunks(TABLE) {
        let Chunk::Log(rows) = &**chunk else { continue };
        if !chunk.times().is_some_and(|times| plan.logs.overlaps(times)) {
            continue;
        }
        match chunk_keys(&plan.logs, rows) {
            Ok((_, keys)) => count_rows(plan, &keys, &mut counts),
            Err(error) => errors.push(error),
        }
    }
    if counts.is_full() {
        return Err(RequestError::Buckets(plan.most));
    }
    let buckets = counts.by_key.into_iter().flat_map(|(key, buckets)| {
        buckets.into_iter().map(move |(start_ns, count)| HistogramBucket {
            start_ns,
            key: key.clone(),
            count,
        })
    });
    let mut buckets: Vec<HistogramBucket> = buckets.collect();
    buckets.sort_by(|a, b| (a.start_ns, &a.key).cmp(&(b.start_ns, &b.key)));
    Ok(Histogram { buckets, errors })
}

/// Whether the range cuts no minute of a segment with these times, or, for totals, nothing of it.
fn sketch_covers(plan: &HistogramPlan, (oldest, newest): (i64, i64)) -> bool {
    if plan.by == HistogramBy::Pod {
        return plan.logs.from_ns <= oldest && plan.logs.to_ns > newest;
    }
    let from = plan.logs.from_ns <= oldest || plan.logs.from_ns.rem_euclid(MINUTE_NS) == 0;
    let to = plan.logs.to_ns > newest || plan.logs.to_ns.rem_euclid(MINUTE_NS) == 0;
    from && to
}

/// Counts from a segment's sketch; false if it has none.
fn count_sketch(
    snapshot: &Snapshot,
    plan: &HistogramPlan,
    segment: &crate::segment::Segment,
    counts: &mut Counts,
) -> bool {
    let Some(sketch) = snapshot.reader.sketch(segment) else { return false };
    let wanted = |group: &Group| {
        plan.logs.may_be("namespace", &group.namespace)
            && plan.logs.may_be("workload", &group.workload)
            && plan.logs.may_be("level", &group.level)
    };
    if plan.by == HistogramBy::Pod {
        let Some(pods) = sketch.pods() else { return false };
        pods.filter(|(group, _, _)| wanted(group)).for_each(|(_, pod, rows)| counts.add(pod, 0, rows));
        return true;
    }
    for (group, minutes) in sketch.groups().filter(|(group, _)| wanted(group)) {
        let key = match plan.by {
            HistogramBy::Time | HistogramBy::Pod => "",
            HistogramBy::Level => &group.level,
            HistogramBy::Workload => &group.workload,
            HistogramBy::Namespace => &group.namespace,
        };
        for minute in minutes {
            if minute.start_ns.saturating_add(MINUTE_NS) > plan.logs.from_ns
                && minute.start_ns < plan.logs.to_ns
            {
                counts.add(key, plan.bucket(minute.start_ns), minute.rows);
            }
        }
    }
    true
}

fn count_rows(plan: &HistogramPlan, keys: &RecordBatch, counts: &mut Counts) {
    let column = plan.by.column().and_then(|name| keys.column_by_name(name));
    let column = column.and_then(|column| column.as_dictionary_opt::<Int32Type>());
    // counted by dictionary key first: a string per row would be the dearest part
    let mut local: BTreeMap<(i32, i64), u64> = BTreeMap::new();
    let mut last: Option<((i32, i64), u64)> = None;
    passing(&plan.logs, keys, |at, ts, _| {
        let key = column.map_or(-1, |column| match column.keys().is_valid(at) {
            true => column.keys().value(at),
            false => -1,
        });
        let place = (key, plan.bucket(ts));
        match &mut last {
            Some((before, count)) if *before == place => *count += 1,
            _ => {
                if let Some((before, count)) = last.replace((place, 1)) {
                    *local.entry(before).or_default() += count;
                }
            }
        }
    });
    if let Some((place, count)) = last {
        *local.entry(place).or_default() += count;
    }
    for ((key, bucket), count) in local {
        let text = match (column, usize::try_from(key)) {
            (Some(column), Ok(key)) => column.values().as_string::<i32>().value(key),
            _ => "",
        };
        counts.add(text, bucket, count);
    }
}
