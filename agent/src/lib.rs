//! wake-agent: what the kernel and the files of a host say, named, summed up per window, and sent off.
//!
//! ```text
//! kernel ─ probe ─▶ decode ─▶ driver ─ identity ─▶ window ─▶ export: batch ─▶ spool (disk) ─▶ client ─▶ aggregator
//! cgroup and proc files ─ files ─┘                   ▲  └─▶ metrics, admin
//! log files, journal ─ logs ─────────────────────────┘
//! ```
//! `Agent::build` constructs and binds, and starts nothing; `Agent::spawn` starts and decides nothing.

pub mod config;
pub mod decode;
pub mod driver;
pub mod export;
pub mod files;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
pub mod kernel;
pub mod logs;
pub mod metrics;
pub mod probe;
pub mod requests;
pub mod tls;
pub mod window;

mod admin;
mod build;
mod doctor;
mod parts;

use std::net::SocketAddr;
use std::time::Duration;

use daemon::admin::Health;
use daemon::http::{Door, HttpMetrics};
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};

pub use build::{Agent, BuildError, Deps, raise_limit};
pub use parts::Parts;

use crate::export::Outlet;
use crate::probe::Probe;

/// Every probe, in the order in which they are attached: cgroup events name what the others see.
pub const PROBES: &[Probe] = &[
    probe::cgroups::PROBE,
    probe::process::PROBE,
    probe::flows::PROBE,
    probe::syscalls::PROBE,
    probe::sched::PROBE,
    probe::block::PROBE,
    probe::requests::PROBE,
    probe::tls::PROBE,
];

/// How long all parts together may take to stop.
const GRACE: Duration = Duration::from_secs(2);

/// A running agent.
#[derive(Debug)]
pub struct Running {
    /// Ends it.
    pub shutdown: Shutdown,
    /// Where the admin endpoint listens.
    pub admin: SocketAddr,
    /// Why it is not ready, if so.
    pub health: Health,
    /// Whether one of them ended by itself; then the shutdown was requested.
    pub parts: Parts,
}

/// Every metric of the agent, for the generated reference.
pub fn describe_metrics() -> Vec<daemon::metrics::Described> {
    let registry = Registry::new();
    let own = registry.with_prefix("wake_agent");
    metrics::AgentMetrics::register(&own);
    HttpMetrics::register(&own);
    metrics::export::ExportMetrics::register(&own);
    metrics::logs::LogMetrics::register(&own);
    metrics::workloads::Workloads::new(1, 1, Duration::ZERO).register(&registry);
    registry.describe()
}

impl Agent {
    /// Starts everything: the probe thread, the spool writer, the client, the admin server.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn spawn(self) -> std::io::Result<Running> {
        let shutdown = Shutdown::new(GRACE);
        let Self { driver, export, logs, admin, registry, health, states, doctor } = self;
        let parts = Parts::new(shutdown.clone(), health.clone());
        for check in doctor.checks().iter().filter(|check| check.state == daemon::doctor::State::Fail) {
            tracing::warn!(
                area = check.area,
                found = check.found,
                advice = check.advice,
                "this host lacks something"
            );
        }
        let (stopping, part) = (shutdown.clone(), parts.part("probes"));
        std::thread::Builder::new().name("probes".into()).spawn(move || {
            driver.run(&stopping);
            drop(part);
        })?;
        if let Some((mut writer, client)) = export {
            if let Some(logs) = logs {
                match logs.supervised(&parts).spawn() {
                    Ok(reader) => writer.logs.read(reader),
                    Err(error) => states.failed("logs", "thread", &daemon::log::chain(&error)),
                }
            }
            let (token, part) = (shutdown.register(Phase::Buffers, "spool"), parts.part("spool"));
            tokio::spawn(async move {
                writer.run(token).await;
                drop(part);
            });
            if let Outlet::Wake(client) = &client {
                let token = shutdown.register(Phase::Buffers, "certificates");
                tokio::spawn(client.credentials.clone().keep(token));
            }
            let (token, part) = (shutdown.register(Phase::Buffers, "export"), parts.part("export"));
            tokio::spawn(async move {
                client.run(token).await;
                drop(part);
            });
        }
        let address = admin.local_addr()?;
        let extra = admin::router(states, doctor);
        let token = shutdown.register(Phase::Servers, "admin");
        let http = HttpMetrics::register(&registry.with_prefix("wake_agent"));
        let door = Door::plain(admin, http.of("admin"));
        let server = daemon::admin::serve(door, registry, extra, health.clone(), token);
        let part = parts.part("admin");
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "admin server ended");
            }
            drop(part);
        });
        Ok(Running { shutdown, admin: address, health, parts })
    }
}
