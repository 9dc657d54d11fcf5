//! wake-aggregator: parses, builds, waits.

mod arenas;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aggregator::config::Config;
use aggregator::{Aggregator, Deps};
use clap::Parser;
use daemon::clock::Clock;
use daemon::config::{ConfigErrors, EXIT_CONFIG};
use daemon::shutdown::Shutdown;

/// From the signal to the end.
const GRACE: Duration = Duration::from_secs(5);

/// Receives what agents send, keeps it, and answers questions about it.
#[derive(Debug, Parser)]
#[command(name = "wake-aggregator", version)]
struct Arguments {
    /// The config file; without one the defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config, print every mistake, and exit (64 if there is one).
    #[arg(long)]
    check_config: bool,
    /// Print an annotated config with the defaults, and exit.
    #[arg(long)]
    print_example_config: bool,
    /// Print the API's OpenAPI document, and exit.
    #[arg(long)]
    print_openapi: bool,
    /// Print the reference of the config as Markdown, and exit.
    #[arg(long, hide = true)]
    print_config_reference: bool,
    /// Print the reference of the metrics as Markdown, and exit.
    #[arg(long, hide = true)]
    print_metrics_reference: bool,
    /// Print the reference of the tables as Markdown, and exit.
    #[arg(long, hide = true)]
    print_tables_reference: bool,
}

impl Arguments {
    /// What is only printed, if that is what was asked for.
    fn printed(&self) -> Option<String> {
        if self.print_example_config {
            Some(daemon::config::example::<Config>())
        } else if self.print_config_reference {
            Some(daemon::config::reference::<Config>())
        } else if self.print_metrics_reference {
            Some(aggregator::reference::metrics())
        } else if self.print_tables_reference {
            Some(aggregator::reference::tables())
        } else {
            None
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    if let Some(text) = arguments.printed() {
        out.write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.print_openapi {
        serde_json::to_writer_pretty(&mut out, &aggregator::openapi())?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.check_config {
        arenas::keep_few();
    }
    let environment = daemon::config::environment();
    let config = match daemon::config::load::<Config>(arguments.config.as_deref(), &environment) {
        Ok(config) => config,
        Err(errors) => return mistaken(&errors),
    };
    if arguments.check_config {
        writeln!(out, "config is valid")?;
        return Ok(ExitCode::SUCCESS);
    }
    drop(out);
    daemon::private::files();
    daemon::log::init(environment.get("WAKE_LOG").map(String::as_str));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_name("aggregator").enable_all().build()?;
    let ended = runtime.block_on(run(config));
    // Queries that do not stop at once are not waited for.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn run(config: Config) -> anyhow::Result<()> {
    // a client that hangs up must not end us, also where a failed start of the program again has set that back
    let _ignored = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe())?;
    let shutdown = Shutdown::new(GRACE);
    let aggregator =
        Aggregator::build(config, Deps { clock: Clock::system(), shutdown: shutdown.clone() }).await?;
    let [otlp_grpc, otlp_http] = aggregator
        .otlp_addresses()
        .map(|address| address.map_or_else(|| String::from("off"), |address| address.to_string()));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        ingest = %aggregator.ingest_address()?,
        api = %aggregator.api_address()?,
        otlp_grpc,
        otlp_http,
        "wake-aggregator starts"
    );
    let started = aggregator.spawn().await;
    if started.is_ok() {
        tracing::info!("ready");
        tokio::select! {
            signal = daemon::shutdown::signal() => tracing::info!(signal = signal?, "stopping"),
            () = shutdown.requested() => tracing::info!("stopping"),
        }
    }
    shutdown.run().await;
    started
}

fn mistaken(errors: &ConfigErrors) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stderr(), "{errors}")?;
    Ok(ExitCode::from(EXIT_CONFIG))
}
