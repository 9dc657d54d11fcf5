//! What `wake logs` and `wake patterns` are told.

use clap::{Args, ValueEnum};

use super::Scope;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake logs 'connection refused'                lines with this text, newest last
  wake logs -i error -v healthz workload=nginx  any case, without healthz, of one workload
  wake logs -e 'took [0-9]{4,} ms' --since 2h   by regular expression
  wake logs --follow level=error                as they arrive
  wake logs timeout --histogram level           how many, when")]
pub(crate) struct Logs {
    /// Text that the line contains, exactly as given, or KEY=VALUE on a column or attribute; all must match
    #[arg(value_name = "TEXT|KEY=VALUE")]
    pub(crate) terms: Vec<String>,
    /// Text that the line contains, even if it looks like KEY=VALUE
    #[arg(short = 't', long = "text", value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// Word that the line contains: not a part of a longer word
    #[arg(short, long = "word", value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// Regular expression that the line matches
    #[arg(short = 'e', long = "regex", value_name = "REGEX")]
    pub(crate) regexes: Vec<String>,
    /// Text that the line must not contain
    #[arg(short = 'v', long = "exclude", value_name = "TEXT")]
    pub(crate) excludes: Vec<String>,
    /// Upper and lower case are the same
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N lines [default: 100; with --follow 10 to begin with]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Go on with lines as they arrive, until Ctrl-C
    #[arg(short, long, conflicts_with = "histogram")]
    pub(crate) follow: bool,
    /// Counts over time instead of lines
    #[arg(long, value_enum, value_name = "BY", num_args = 0..=1, default_missing_value = "level")]
    pub(crate) histogram: Option<By>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Level,
    Workload,
}

#[derive(Debug, Args)]
pub(crate) struct Patterns {
    /// Only of this namespace or workload, e.g. workload=nginx
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Only patterns with this text in them or in their example; all must be there
    #[arg(short = 't', long = "text", value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// Only lines of this version of the workload (service.version, label app.kubernetes.io/version or version, or the hash
    /// of a Deployment's template)
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Which ones, compared with as long a time before; with --version, new and gone compare with earlier versions
    #[arg(long, value_enum, default_value_t = PatternShow::Top)]
    pub(crate) show: PatternShow,
    /// At most N patterns
    #[arg(short = 'n', long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatternShow {
    /// The most frequent
    Top,
    /// Never seen before
    New,
    /// Only in the time before
    Gone,
    /// 4 times as many lines as before, or none before but earlier, and at least 10
    Surging,
}
