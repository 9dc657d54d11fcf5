//! Why an answer is not whole: a closed set, each with the time range that it concerns.

use store::ScanError;

/// What kind of thing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonCode {
    /// The time limit passed; what was found until then is there.
    Timeout,
    /// The answer was cut at the most rows or bytes that one may have.
    RowLimit,
    /// A segment cannot be read; the rest is there.
    SegmentUnreadable,
    /// The range begins before what is kept.
    Retention,
    /// Rows of the range may have gone before their time: dropped for want of room, or lost with a part of the catalog.
    Dropped,
    /// The loss ledger has entries in the range: agents could not send everything.
    AgentGap,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::RowLimit,
        Self::SegmentUnreadable,
        Self::Retention,
        Self::Dropped,
        Self::AgentGap,
    ];

    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RowLimit => "row_limit",
            Self::SegmentUnreadable => "segment_unreadable",
            Self::Retention => "retention",
            Self::Dropped => "dropped",
            Self::AgentGap => "agent_gap",
        }
    }
}

/// One reason why an answer is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind.
    pub code: ReasonCode,
    /// In words.
    pub detail: String,
    /// Begin of the range that it concerns, ns.
    pub from_ns: Option<i64>,
    /// End of that range, ns.
    pub to_ns: Option<i64>,
}

impl Reason {
    /// A reason that concerns the whole answer.
    pub(crate) fn new(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), from_ns: None, to_ns: None }
    }

    /// The reason for a scan that goes on without a segment; `None` for an error that ends it.
    pub(crate) fn of_scan(error: &ScanError) -> Option<Self> {
        match error {
            ScanError::SegmentUnreadable { from_ns, to_ns, .. } => Some(Self {
                code: ReasonCode::SegmentUnreadable,
                detail: error.to_string(),
                from_ns: Some(*from_ns),
                to_ns: Some(*to_ns),
            }),
            _ => None,
        }
    }
}
