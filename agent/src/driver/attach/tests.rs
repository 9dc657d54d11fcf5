use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use daemon::clock::Clock;

use crate::config::AgentConfig;
use crate::probe::{AttachError, Probe, Running, Sink};
use crate::window::Window;
use crate::{Agent, Deps};

static BEGUN: AtomicU32 = AtomicU32::new(0);
static LATER: AtomicU32 = AtomicU32::new(0);

/// What stands for a kernel that verifies one program for seconds.
const SLOW: &[Probe] = &[
    Probe {
        name: "slow",
        needs: None,
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
        needs: None,
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

static ATTACHED: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// Panics as soon as the one that needs it is there.
struct First;

impl Running for First {
    fn poll(&mut self, _sink: &mut Sink) {
        assert_eq!(ATTACHED.load(Ordering::SeqCst), 0, "on purpose");
    }

    fn drain(&mut self, _window: Window, _sink: &mut Sink) {}
}

struct Second;

impl Running for Second {
    fn drain(&mut self, _window: Window, _sink: &mut Sink) {}
}

impl Drop for Second {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

const NEEDY: &[Probe] = &[
    Probe { name: "first", needs: None, attach: |_, _| Ok(Box::new(First)) },
    Probe {
        name: "second",
        needs: Some("first"),
        attach: |_, _| {
            ATTACHED.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Second))
        },
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_probe_goes_with_the_one_that_it_needs() {
    let work = tempfile::tempdir().unwrap();
    let mut config = AgentConfig { state_dir: work.path().to_owned(), ..AgentConfig::default() };
    config.admin.listen = "127.0.0.1:0".into();
    config.export.kind = crate::config::ExportKind::None;
    let agent = Agent::build(config, Deps { probes: NEEDY, ..Deps::default() }).await.unwrap();
    let running = agent.spawn().unwrap();
    let goes = async {
        while DROPPED.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), goes).await.expect("it is detached");
    assert_eq!(running.shutdown.run().await, Vec::<&str>::new());
    assert_eq!((ATTACHED.load(Ordering::SeqCst), DROPPED.load(Ordering::SeqCst)), (1, 1));
}
