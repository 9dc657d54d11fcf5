use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use daemon::clock::Clock;

use crate::config::AgentConfig;
use crate::probe::{AttachError, Probe};
use crate::{Agent, Deps};

static BEGUN: AtomicU32 = AtomicU32::new(0);
static LATER: AtomicU32 = AtomicU32::new(0);

/// What stands for a kernel that verifies one program for seconds.
const SLOW: &[Probe] = &[
    Probe {
        name: "slow",
        attach: |_, _| {
            BEGUN.store(1, Ordering::SeqCst);
            let clock = Clock::system();
            let until = clock.monotonic() + Duration::from_secs(6);
            while clock.monotonic() < until {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            Err(AttachError::Disabled("a test".into()))
        },
    },
    Probe {
        name: "later",
        attach: |_, _| {
            LATER.fetch_add(1, Ordering::SeqCst);
            Err(AttachError::Disabled("a test".into()))
        },
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_does_not_wait_for_a_probe_that_is_being_attached() {
    let work = tempfile::tempdir().unwrap();
    let mut config = AgentConfig { state_dir: work.path().to_owned(), ..AgentConfig::default() };
    config.admin.listen = "127.0.0.1:0".into();
    config.export.kind = crate::config::ExportKind::None;
    let agent = Agent::build(config, Deps { probes: SLOW, ..Deps::default() }).await.unwrap();
    let running = agent.spawn().unwrap();
    let begins = async {
        while BEGUN.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begins).await.expect("attaching begins");
    assert_eq!(running.shutdown.run().await, Vec::<&str>::new());
    assert_eq!(LATER.load(Ordering::SeqCst), 0, "nothing more is attached after a stop");
}
