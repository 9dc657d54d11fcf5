//! Which span of time a question is about.

use clap::Args;

/// From when to when, and of which rows.
#[derive(Clone, Debug, Args)]
pub(crate) struct Scope {
    /// How far back to look: 30s, 15m, 2h, 7d
    #[arg(long, value_name = "DURATION", conflicts_with = "from", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// First time: RFC 3339, Unix seconds, or relative as -15m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Time after the last: as --from
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
}

impl Scope {
    /// The parameters `from` and `to`; without any, `back` from now.
    pub(crate) fn params(&self, back: &str) -> Vec<(&'static str, String)> {
        let from = match (&self.from, &self.since) {
            (Some(from), _) => from.clone(),
            (None, Some(since)) => format!("-{}", since.trim_start_matches('-')),
            (None, None) => format!("-{back}"),
        };
        let mut params = vec![("from", from)];
        params.extend(self.to.clone().map(|to| ("to", to)));
        params
    }

    /// The span in words, for "nothing found".
    pub(crate) fn words(&self, back: &str) -> String {
        match (&self.from, &self.to, &self.since) {
            (Some(from), Some(to), _) => format!("from {from} to {to}"),
            (Some(from), None, _) => format!("since {from}"),
            (None, _, since) => format!("in the last {}", since.as_deref().unwrap_or(back)),
        }
    }
}
