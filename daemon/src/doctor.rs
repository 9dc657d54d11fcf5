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

/// A certificate, valid from one time until another, by what is left of it: who renews does so after two thirds of its
/// life, and is late when five sixths are over.
pub fn certificate(area: &str, (not_before_s, not_after_s): (i64, i64), now_s: i64) -> Check {
    let renew = "see that whoever renews it still does (wake: tls.mode, cert-manager: its Certificate)";
    let left_s = not_after_s.saturating_sub(now_s);
    let life_s = not_after_s.saturating_sub(not_before_s);
    match left_s {
        ..=0 => Check::fail(area, format!("expired {} ago", span(left_s.saturating_neg())), renew),
        left if left <= life_s / 6 => {
            let found = format!("expires in {}, and nobody has replaced it yet", span(left));
            Check::warn(area, found, renew)
        }
        left => Check::ok(area, format!("valid for another {}", span(left))),
    }
}

/// Hours, or minutes of a few hours.
fn span(seconds: i64) -> String {
    match seconds {
        ..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::{State, certificate};

    #[test]
    fn a_certificate_that_nobody_replaces_is_told_by_its_own_life() {
        let of = |life_s: i64, age_s: i64| certificate("tls", (0, life_s), age_s);
        for life_s in [540, 86_400, 365 * 86_400] {
            assert_eq!(of(life_s, life_s * 2 / 3 + 5).state, State::Ok, "{life_s}: it is being replaced");
            assert_eq!(of(life_s, life_s * 5 / 6 + 1).state, State::Warn, "{life_s}");
            assert_eq!(of(life_s, life_s).state, State::Fail, "{life_s}");
        }
        assert_eq!(of(540, 300).found, "valid for another 4 min");
        assert_eq!(of(86_400, 90_000).found, "expired 60 min ago");
    }
}
