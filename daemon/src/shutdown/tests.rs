use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Phase, Shutdown};

#[tokio::test]
async fn phases_end_in_order_whatever_the_order_of_registration() {
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let ended = Arc::new(Mutex::new(Vec::new()));
    for (phase, name) in [(Phase::Servers, "api"), (Phase::Intake, "probes"), (Phase::Buffers, "spool")] {
        let token = shutdown.register(phase, name);
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            token.stopped().await;
            tokio::task::yield_now().await;
            ended.lock().unwrap().push(name);
            drop(token);
        });
    }
    assert!(shutdown.run().await.is_empty());
    assert_eq!(*ended.lock().unwrap(), ["probes", "spool", "api"]);
}

#[tokio::test]
async fn the_late_are_named() {
    let shutdown = Shutdown::new(Duration::from_millis(20));
    let late = shutdown.register(Phase::Intake, "stuck");
    let early = shutdown.register(Phase::Intake, "quick");
    drop(early);
    assert_eq!(shutdown.run().await, ["stuck"]);
    assert!(late.is_stopped());
}

#[tokio::test]
async fn a_part_that_panics_does_not_hold_the_exit() {
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let token = shutdown.register(Phase::Buffers, "broken");
    let part = tokio::spawn(async move {
        let _token = token;
        panic!("on purpose");
    });
    assert!(part.await.is_err());
    assert!(shutdown.run().await.is_empty());
}

#[tokio::test]
async fn a_request_is_seen_by_all_who_wait() {
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let waiter = shutdown.clone();
    let task = tokio::spawn(async move { waiter.requested().await });
    shutdown.request();
    task.await.unwrap();
    shutdown.requested().await;
}
