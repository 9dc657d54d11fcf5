//! wake-agent: parses, builds, waits.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::config::AgentConfig;
use agent::{Agent, Deps};
use anyhow::Context as _;
use clap::Parser;
use daemon::config::EXIT_CONFIG;

/// Watches this host from inside the kernel and sends what it sees to wake-aggregator.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The config file; the defaults hold without one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config, report every mistake, and exit: 64 if there is one.
    #[arg(long)]
    check_config: bool,
    /// Print an annotated config file with the defaults, and exit.
    #[arg(long)]
    print_example_config: bool,
    /// Print the reference of the config as Markdown, and exit.
    #[arg(long, hide = true)]
    print_config_reference: bool,
    /// Print the reference of the metrics as Markdown, and exit.
    #[arg(long, hide = true)]
    print_metrics_reference: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "wake-agent ends");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let printed = if arguments.print_example_config {
        Some(daemon::config::example::<AgentConfig>())
    } else if arguments.print_config_reference {
        Some(daemon::config::reference::<AgentConfig>())
    } else if arguments.print_metrics_reference {
        Some(daemon::metrics::reference(&agent::describe_metrics()))
    } else {
        None
    };
    if let Some(text) = printed {
        std::io::stdout().write_all(text.as_bytes()).context("print")?;
        return Ok(ExitCode::SUCCESS);
    }
    let env = daemon::config::environment();
    daemon::log::init(env.get("WAKE_LOG").map(String::as_str));
    let config = match daemon::config::load::<AgentConfig>(arguments.config.as_deref(), &env) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(std::io::stderr(), "{errors}").context("print")?;
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    if arguments.check_config {
        writeln!(std::io::stdout(), "config is valid").context("print")?;
        return Ok(ExitCode::SUCCESS);
    }
    agent::raise_limit();
    daemon::private::files();
    agent::kernel::memory::set_up();
    // one thread serves gRPC and HTTP; probes have a thread of their own, disk writes a pool
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let ended_well = runtime.block_on(serve(config))?;
    // a part that is late holds nothing that the kernel does not take back at exit
    runtime.shutdown_background();
    Ok(if ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs until a signal, or until a part ends by itself; whether everything ended as it should.
async fn serve(config: AgentConfig) -> anyhow::Result<bool> {
    let running = Agent::build(config, Deps::default()).await?.spawn().context("start a thread")?;
    tracing::info!(admin = %running.admin, "wake-agent started");
    tokio::select! {
        signal = daemon::shutdown::signal() => {
            tracing::info!(signal = signal.context("wait for signals")?, "stopping");
        }
        () = running.shutdown.requested() => {}
    }
    let late = running.shutdown.run().await;
    let failed = running.parts.failed();
    tracing::info!(failed, "stopped");
    Ok(late.is_empty() && failed.is_none())
}
