//! The host's time zone, looked up once per quarter of an hour of log time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The zone of times that name none.
#[derive(Clone, Debug)]
pub(crate) struct LocalZone {
    zone: TimeZone,
    cached: Option<(i64, i64)>,
}

/// No zone changes its offset inside such a span.
const SPAN_SECONDS: i64 = 900;

impl LocalZone {
    /// `/etc/localtime`; UTC where that cannot be read.
    pub(crate) fn of_host() -> Self {
        let zone =
            std::fs::read("/etc/localtime").ok().and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
        Self::new(zone.unwrap_or(TimeZone::UTC))
    }

    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { zone, cached: None }
    }

    /// Seconds east of UTC at this local reading (seconds since 1970 as if it were UTC).
    pub(crate) fn offset(&mut self, civil_seconds: i64) -> i64 {
        let span = civil_seconds.div_euclid(SPAN_SECONDS);
        if let Some((of, offset)) = self.cached
            && of == span
        {
            return offset;
        }
        let offset = self.look_up(civil_seconds).unwrap_or(0);
        self.cached = Some((span, offset));
        offset
    }

    fn look_up(&self, civil_seconds: i64) -> Option<i64> {
        let as_utc = jiff::Timestamp::from_second(civil_seconds).ok()?;
        let civil: DateTime = TimeZone::UTC.to_datetime(as_utc);
        let actual = self.zone.to_timestamp(civil).ok()?;
        Some(civil_seconds - actual.as_second())
    }
}
