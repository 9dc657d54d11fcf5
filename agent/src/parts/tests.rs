use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::Shutdown;

use super::Parts;
use crate::config::{AgentConfig, ExportKind};
use crate::probe::{Probe, Running, Sink};
use crate::window::Window;
use crate::{Agent, Deps};

const SOON: Duration = Duration::from_secs(20);

fn parts() -> (Parts, Shutdown, Health) {
    let (shutdown, health) = (Shutdown::new(SOON), Health::new());
    (Parts::new(shutdown.clone(), health.clone()), shutdown, health)
}

#[tokio::test]
async fn a_task_or_thread_that_panics_ends_the_agent() {
    for is_thread in [false, true] {
        let (parts, shutdown, health) = parts();
        let part = parts.part("spool");
        let work = move || {
            let _part = part;
            panic!("on purpose");
        };
        if is_thread {
            std::thread::spawn(work).join().unwrap_err();
        } else {
            tokio::spawn(async move { work() }).await.unwrap_err();
        }
        tokio::time::timeout(SOON, shutdown.requested()).await.unwrap();
        assert_eq!(parts.failed(), Some("spool"));
        assert!(health.reasons()[0].starts_with("spool: ended by itself"), "{:?}", health.reasons());
    }
}

#[tokio::test]
async fn what_is_done_or_was_told_to_stop_may_end() {
    let (parts, shutdown, health) = parts();
    let (done, stopped) = (parts.part("journal"), parts.part("spool"));
    done.done();
    shutdown.run().await;
    drop(stopped);
    assert!(parts.failed().is_none() && health.reasons().is_empty());
}

/// Outside of what the driver catches.
struct Bad;

impl Running for Bad {
    fn wake_fds(&self) -> Vec<RawFd> {
        panic!("on purpose");
    }

    fn drain(&mut self, _window: Window, _sink: &mut Sink) {}
}

const BAD: &[Probe] = &[Probe { name: "bad", needs: None, attach: |_, _| Ok(Box::new(Bad)) }];

#[tokio::test]
async fn an_agent_whose_probe_thread_dies_says_so_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = AgentConfig { state_dir: directory.path().join("state"), ..AgentConfig::default() };
    config.admin.listen = String::from("127.0.0.1:0");
    config.export.kind = ExportKind::None;
    let deps = Deps { clock: Clock::system(), proc: PathBuf::from(directory.path()), probes: BAD };
    let running = Agent::build(config, deps).await.unwrap().spawn().unwrap();
    tokio::time::timeout(SOON, running.shutdown.requested()).await.unwrap();
    assert_eq!(running.parts.failed(), Some("probes"));
    assert!(running.health.reasons().iter().any(|reason| reason.starts_with("probes: ended by itself")));
    assert!(running.shutdown.run().await.is_empty());
}
