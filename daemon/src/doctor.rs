//! What a process finds when it looks whether it can do its work here: in plain words, with what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Ok,
    /// It works with something missing, or an optional part is not there.
    Warn,
    /// It does not work.
    Fail,
}

impl State {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at, such as `kernel` or `api rights`.
    pub area: String,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when all is well.
    pub advice: String,
}

impl Check {
    /// It works.
    pub fn ok(area: &str, found: impl Into<String>) -> Self {
        Self { area: area.to_owned(), state: State::Ok, found: found.into(), advice: String::new() }
    }

    /// Something is missing.
    pub fn warn(area: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { area: area.to_owned(), state: State::Warn, found: found.into(), advice: advice.into() }
    }

    /// It does not work.
    pub fn fail(area: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Fail, ..Self::warn(area, found, advice) }
    }
}

/// A certificate by the time that is left of it.
pub fn certificate(area: &str, not_after_s: i64, now_s: i64) -> Check {
    let left_h = not_after_s.saturating_sub(now_s) / 3_600;
    let renew = "see that whoever renews it still does (wake: tls.mode, cert-manager: its Certificate)";
    match not_after_s.saturating_sub(now_s) {
        ..=0 => Check::fail(area, format!("expired {} h ago", -left_h), renew),
        1..=3_600 => Check::warn(area, "expires within the hour", renew),
        _ => Check::ok(area, format!("valid for another {left_h} h")),
    }
}
