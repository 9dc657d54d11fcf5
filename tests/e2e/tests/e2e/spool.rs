//! The aggregator is away: the agent goes on, keeps what it has on disk, and catches up.

use crate::fleet::{Fleet, Part};

#[test]
fn an_agent_without_an_aggregator_catches_up_once_it_comes() {
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Agent);
    fleet.write_lines("app.log", 2000);
    spooled(&fleet);
    // what is on disk outlives the agent
    fleet.kill(Part::Agent);
    fleet.write_lines("app.log", 500);
    fleet.start(Part::Agent);
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();

    fleet.stop(Part::Aggregator);
    fleet.write_lines("app.log", 1000);
    spooled(&fleet);
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
}

/// Batches that wait, by the agent's own account.
fn spooled(fleet: &Fleet) {
    fleet.poll("batches on disk", || {
        let metrics = fleet.admin("/metrics")?;
        let line = metrics.lines().find(|line| line.starts_with("wake_agent_spool_batches "))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().filter(|batches| *batches > 0.0)
    });
}
