//! kill -9 at random moments: nothing that was acknowledged is lost, nothing is there twice.
//!
//! Every line comes from a file, and the agent's place in a file moves only with an acknowledgement: so if anything
//! acknowledged were lost, or sent again and stored again, a line would be missing or doubled.

use std::time::Duration;

use crate::fleet::{Fleet, Part, Random, rounds};

#[test]
fn an_agent_killed_at_any_moment_loses_and_doubles_nothing() {
    killed("agent", &[Part::Agent]);
}

#[test]
fn an_aggregator_killed_at_any_moment_loses_and_doubles_nothing() {
    killed("aggregator", &[Part::Aggregator]);
}

#[test]
fn both_killed_at_any_moment_lose_and_double_nothing() {
    killed("both", &[Part::Agent, Part::Aggregator]);
}

fn killed(name: &str, parts: &[Part]) {
    let mut random = Random::new(name);
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.ready(Part::Agent);
    for round in 0..rounds() {
        // one time in four it is killed while it still starts
        if random.below(4) > 0 {
            fleet.attached();
        }
        fleet.write_lines("app.log", 1 + random.below(3000));
        if round % 2 == 1 {
            fleet.seal_soon();
        }
        // the moment is random: while it reads, sends, writes, acknowledges, seals, or long after
        std::thread::sleep(Duration::from_millis(random.below(400)));
        fleet.write_lines("other.log", 1 + random.below(300));
        for part in parts {
            fleet.kill(*part);
            std::thread::sleep(Duration::from_millis(random.below(50)));
        }
        fleet.write_lines("app.log", random.below(200));
        for part in parts {
            fleet.start(*part);
        }
        if round % 3 == 2 {
            // a file that nobody has ever read must not be renamed out of sight; rotation under kills is `logs`' model
            fleet.expect_every_line_once();
            fleet.rotate("app.log");
        }
    }
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
    // and once more after an orderly restart of both
    fleet.stop(Part::Agent);
    fleet.stop(Part::Aggregator);
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
    assert!(fleet.log_segments() > 0, "nothing was sealed: the kills met no seal");
}
