//! The command line: what every command shares, and which there are. What each is told stands in a file of its own.

mod events;
mod logs;
mod network;
mod scope;
mod texts;
mod traces;
mod usage;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::access::Access;
use crate::cluster::Cluster;

pub(crate) use events::{Changes, Events};
pub(crate) use logs::{By, Logs, PatternShow, Patterns};
pub(crate) use network::{Draw, FlowSort, Flows, Map};
pub(crate) use scope::Scope;
pub(crate) use texts::Texts;
pub(crate) use traces::{Trace, Traces};
pub(crate) use usage::{SyscallSort, Syscalls, Top, TopSort};

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
