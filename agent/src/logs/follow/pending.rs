//! Where in a file begins what is not yet handed on: a record that lines are added to, a line that parts are added to.

/// Of one file and stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The first line here of the record that lines are added to.
    record: Option<u64>,
    /// The first part here of the line that parts are added to.
    line: Option<u64>,
}

/// What the lines of one file did to what is pending in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No line ended.
    #[default]
    Nothing,
    /// Lines ended and continued the record.
    Line,
    /// The record ended, and the first line that ended began the next one.
    Record,
    /// That one has ended as well.
    All,
}

impl Pending {
    /// From where on this file is to be read again.
    pub(crate) fn start(self) -> Option<u64> {
        // the line comes after the record
        self.record.or(self.line)
    }

    /// Whether a line that parts are added to begins here.
    pub(crate) fn has_part(&self) -> bool {
        self.line.is_some()
    }

    /// A part of a line, or a whole one, begins here.
    pub(crate) fn part(&mut self, start: u64) {
        self.line.get_or_insert(start);
    }

    /// The line ended; `is_next`: the record before it as well, and it began the next one.
    pub(crate) fn line_ended(&mut self, is_next: bool) {
        let line = self.line.take();
        self.record = if is_next { line } else { self.record.or(line) };
    }

    /// The record was handed on; a line that has not ended waits on.
    pub(crate) fn record_ended(&mut self) {
        self.record = None;
    }

    /// What the lines of another file did.
    pub(crate) fn settle(&mut self, ended: Ended) {
        match ended {
            Ended::Nothing => {}
            Ended::Line => self.line_ended(false),
            Ended::Record => self.line_ended(true),
            Ended::All => *self = Self::default(),
        }
    }
}

impl Ended {
    /// One more line ended; see `Pending::line_ended`.
    pub(crate) fn line(&mut self, is_next: bool) {
        *self = match (*self, is_next) {
            (Self::Nothing, false) => Self::Line,
            (Self::Nothing, true) => Self::Record,
            (_, true) => Self::All,
            (other, false) => other,
        };
    }

    /// All that there was is handed on.
    pub(crate) fn all(&mut self) {
        *self = Self::All;
    }
}
