//! What an answer lacks because agents lost it, or because it is older than what is kept.

use crate::api::answer::Rows;
use crate::api::error::ApiError;
use crate::api::params::Range;
use crate::api::wheres::{Values, clause};
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::Session;
use store::Table;

/// Adds the losses of these signals in the range to the session's reasons.
pub(crate) async fn losses(session: &Session, range: Range, signals: &[&str]) -> Result<(), ApiError> {
    let mut values = Values::default();
    let conditions = clause(Table::Loss, range, &[], &mut values)?;
    let query = format!(
        "SELECT signal, stage, reason, sum(count) AS lost, CAST(min(ts) AS BIGINT) AS since, \
         CAST(max(ts) AS BIGINT) + max(window_s) * 1000000000 AS until \
         FROM loss {conditions} GROUP BY signal, stage, reason ORDER BY lost DESC LIMIT 100"
    );
    let mut rows = Rows::default();
    session.own(&query, values.0, &mut rows).await?;
    for row in rows.0 {
        let text = |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let number = |name: &str| row.get(name).and_then(serde_json::Value::as_i64);
        if !signals.contains(&text("signal")) {
            continue;
        }
        let detail = format!(
            "{} {} lost at {}: {}",
            number("lost").unwrap_or_default(),
            text("signal"),
            text("stage"),
            text("reason")
        );
        let (from_ns, to_ns) = (number("since"), number("until"));
        session.reasons.add(Reason { code: ReasonCode::AgentGap, detail, from_ns, to_ns });
    }
    Ok(())
}
