//! The command line.

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::cluster::Cluster;

use crate::access::Access;

/// What every workload does: logs, flows, CPU, memory, syscalls, processes.
#[derive(Debug, Parser)]
#[command(name = "wake", version, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 answered (even if nothing was found), 1 failed, 2 wrong usage.")]
pub(crate) struct Cli {
    /// Address of wake-aggregator
    #[arg(
        long,
        env = "WAKE_SERVER",
        default_value = "http://127.0.0.1:9401",
        global = true,
        value_name = "URL"
    )]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Tables for people, or one JSON object per line for programs
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line of `kubectl wake`: as everywhere in kubectl, `-n` names a namespace, and the cluster is the
    /// kubeconfig's unless a server is named.
    pub(crate) fn of_kubectl(
        words: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command().name("kubectl-wake").bin_name("kubectl wake");
        let names: Vec<String> =
            command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names {
            command = command.mut_subcommand(name, |command| {
                command.mut_args(|arg| if arg.get_short() == Some('n') { arg.short(None) } else { arg })
            });
        }
        let matches = command.mut_arg("namespace", |arg| arg.short('n')).try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.cluster.kube = matches.value_source("server") != Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

impl Command {
    /// Whether it asks an aggregator.
    pub(crate) fn asks(&self) -> bool {
        !matches!(
            self,
            Self::Judge(_) | Self::Eval(_) | Self::Simulate(_) | Self::Completion { .. } | Self::Reference
        )
    }

    /// Only rows of this namespace.
    pub(crate) fn narrow(&mut self, namespace: &str) {
        let filter = format!("namespace={namespace}");
        match self {
            Self::Logs(logs) => logs.terms.push(filter),
            Self::Flows(flows) => flows.filters.push(filter),
            Self::Map(map) => map.filters.push(filter),
            Self::Top(top) => top.filters.push(filter),
            Self::Patterns(patterns) => patterns.filters.push(filter),
            Self::Syscalls(syscalls) => syscalls.filters.push(filter),
            Self::Events(events) => events.filters.push(filter),
            Self::Changes(changes) => changes.filters.push(filter),
            Self::Traces(traces) => traces.filters.push(filter),
            Self::Status
            | Self::Doctor(_)
            | Self::Trace(_)
            | Self::Sql(_)
            | Self::Judge(_)
            | Self::Eval(_)
            | Self::Simulate(_)
            | Self::Completion { .. }
            | Self::Reference => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command};

    #[test]
    fn kubectl_wake_takes_a_namespace_as_kubectl_does() {
        let parse = |words: &[&str]| Cli::of_kubectl(words.iter().map(Into::into)).unwrap();
        let cli = parse(&["kubectl-wake", "logs", "-n", "shop", "boom", "--limit", "3"]);
        assert!(cli.cluster.kube && cli.cluster.namespace.as_deref() == Some("shop"));
        let Command::Logs(logs) = cli.command else { unreachable!() };
        assert_eq!((logs.limit, logs.terms), (Some(3), vec!["boom".to_owned()]));
        let cli = parse(&["kubectl-wake", "-A", "--server", "http://127.0.0.1:1", "status"]);
        assert!(!cli.cluster.kube && cli.cluster.all_namespaces);
        assert!(Cli::of_kubectl(["kubectl-wake", "-A", "-n", "x", "status"].iter().map(Into::into)).is_err());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Whether Wake works: agents, probes, what was lost
    Status,
    /// What works here and on every node, what does not, and what to do
    Doctor(Doctor),
    /// Find log lines
    Logs(Logs),
    /// Who talks to whom, how much and how well
    Flows(Flows),
    /// Who asks whom: requests, errors and latency between workloads, with bytes and connections
    Map(Map),
    /// CPU, memory, I/O, network and run-queue delay of every workload, live on a terminal
    Top(Top),
    /// Which kinds of lines are written, and which are new, gone or surging
    Patterns(Patterns),
    /// Which syscalls a workload makes, their errors and latency
    Syscalls(Syscalls),
    /// Processes that started, ended or were killed; with --kubernetes, Events of Kubernetes
    Events(Events),
    /// Objects of Kubernetes that were created, updated or deleted, and what changed in them
    Changes(Changes),
    /// Find traces: what became of requests
    Traces(Traces),
    /// One trace as a waterfall, with its log lines
    Trace(Trace),
    /// Ask in SQL
    Sql(Sql),
    /// What a recorded change did, and how sure that is; asks no server
    Judge(crate::judge::JudgeArgs),
    /// Judge every recorded case of a directory and print answer lines for a scorer
    #[command(hide = true)]
    Eval(crate::judge::EvalArgs),
    /// Write simulated cases and their truth
    #[command(hide = true)]
    Simulate(crate::judge::simulated::SimulateArgs),
    /// Print a completion script
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print this program's reference in Markdown
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing failed, 1 something did.")]
pub(crate) struct Doctor {
    /// Also show what is well
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Ask one agent at its admin address, e.g. http://127.0.0.1:9402, instead of the aggregator
    #[arg(long, value_name = "URL")]
    pub(crate) agent: Option<String>,
}

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
pub(crate) struct Flows {
    /// Only rows where a column has this value, e.g. workload=nginx or peer_address=10.0.0.7
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// What comes first
    #[arg(long, value_enum, default_value_t = FlowSort::Bytes)]
    pub(crate) sort: FlowSort,
    /// At most N rows
    #[arg(short = 'n', long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowSort {
    Bytes,
    Retransmits,
    Rtt,
    Failures,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake map                                       the busiest edges of the last 15 minutes
  wake map workload=cart --since 1h              who asks cart, and whom cart asks
  wake map --draw dot | dot -Tsvg > map.svg      as a picture")]
pub(crate) struct Map {
    /// Only edges with an end that is so: namespace=NAME or workload=NAME
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// As the text of a picture instead of a table
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) draw: Option<Draw>,
    /// At most N edges, those with the most requests and bytes
    #[arg(short = 'n', long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Draw {
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown renderers draw it
    Mermaid,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Only rows where a column has this value, e.g. namespace=shop
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t = TopSort::Cpu)]
    pub(crate) sort: TopSort,
    /// At most N rows (default: what fits the terminal)
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) interval: u32,
    /// Show it once and end; so it is without a terminal and with -o json
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopSort {
    Cpu,
    Memory,
    Io,
    Net,
    Delay,
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
    /// Which ones, compared with as long a time before
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

#[derive(Debug, Args)]
pub(crate) struct Syscalls {
    /// Only rows where a column has this value, e.g. workload=nginx or syscall=openat
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// What comes first
    #[arg(long, value_enum, default_value_t = SyscallSort::Count)]
    pub(crate) sort: SyscallSort,
    /// At most N rows
    #[arg(short = 'n', long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyscallSort {
    Count,
    Errors,
    P99,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only rows where a column has this value, e.g. event=oom_kill or executable=/usr/bin/curl
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Events of Kubernetes instead of processes, e.g. with reason=BackOff or type=Warning
    #[arg(short, long)]
    pub(crate) kubernetes: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N events
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Only rows where a column has this value, e.g. kind=deployment, name=cart or change=deleted
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N changes
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake traces --service checkout --errors        failed requests, newest first
  wake traces --min 500ms http.route=/cart       slow ones, by an attribute
  wake traces --protocol postgresql --workload cart
  wake trace 4bf92f3577b34da6a3ce929d0e0e4736    one of them")]
pub(crate) struct Traces {
    /// Only traces with a span where a column or an attribute has this value, e.g. namespace=shop
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Of this workload
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) workload: Option<String>,
    /// With this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// That speak this: http, grpc, dns, postgresql, mysql, redis, kafka
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// That failed
    #[arg(long)]
    pub(crate) errors: bool,
    /// That took at least so long: 10ms, 1s
    #[arg(long, value_name = "DURATION")]
    pub(crate) min: Option<String>,
    /// That took at most so long
    #[arg(long, value_name = "DURATION")]
    pub(crate) max: Option<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N traces
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The trace's id, hex
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake sql 'show tables'
  wake sql 'select workload, count(*) from log group by workload order by 2 desc'
  echo 'select 1' | wake sql -")]
pub(crate) struct Sql {
    /// The query, or - to read it from standard input
    pub(crate) query: String,
    /// At most N rows
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) max_rows: Option<u64>,
}
