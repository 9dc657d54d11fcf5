//! How often the simulator's effects are found, by scenario and world, in Markdown:
//! `cargo run -p effects --example figures -- 10` for seeds 1 to 10; more arguments name worlds.

use std::io::Write as _;

use effects::judge::judge;
use effects::simulate::{Scenario, World, simulate};
use effects::watch::Verdict;

/// What came of one world.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: usize,
    missed: usize,
    harmless: usize,
    first: usize,
    ranked: usize,
    hurt: usize,
    named: usize,
    brier: Vec<f64>,
    delays: Vec<i64>,
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let seeds: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let names: Vec<String> = args.collect();
    let worlds: Vec<World> =
        World::ALL.into_iter().filter(|w| names.is_empty() || names.iter().any(|n| n == w.name)).collect();
    let mut out = std::io::stdout().lock();
    write!(out, "| scenario |")?;
    worlds.iter().try_for_each(|w| write!(out, " {} |", w.name))?;
    writeln!(out, "\n|---|{}", "---|".repeat(worlds.len()))?;
    let mut tallies: Vec<Tally> = worlds.iter().map(|_| Tally::default()).collect();
    for scenario in Scenario::ALL {
        write!(out, "| {} |", scenario.name())?;
        for (world, tally) in worlds.iter().zip(&mut tallies) {
            let as_told = (1..=seeds).filter(|seed| run(scenario, world, *seed, tally)).count();
            write!(out, " {as_told} |")?;
        }
        writeln!(out)?;
        out.flush()?;
    }
    writeln!(
        out,
        "\n| world | P | R | F1 | harmless called harmful | first rank | hurt and named | delay median, p90 s | Brier |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for (world, tally) in worlds.iter().zip(&mut tallies) {
        tally.delays.sort_unstable();
        let at = |q: usize| tally.delays.get(tally.delays.len() * q / 100).copied().unwrap_or(0);
        let (right, wrong, missed) = (tally.right as f64, tally.wrong as f64, tally.missed as f64);
        writeln!(
            out,
            "| {} | {:.3} | {:.3} | {:.3} | {} of {} | {} of {} | {} of {} | {}, {} | {:.3} |",
            world.name,
            right / (right + wrong),
            right / (right + missed),
            2.0 * right / (2.0 * right + wrong + missed),
            tally.wrong,
            tally.harmless,
            tally.first,
            tally.ranked,
            tally.named,
            tally.hurt,
            at(50),
            at(90),
            tally.brier.iter().sum::<f64>() / tally.brier.len().max(1) as f64
        )?;
    }
    Ok(())
}

/// Judges one case; whether every change was called what it was.
fn run(scenario: Scenario, world: &World, seed: u64, tally: &mut Tally) -> bool {
    let (case, truth) = simulate(scenario, world, seed);
    let judged = judge(&case.clone().check().expect("simulated cases are valid"));
    let mut as_told = true;
    for (i, (one, harmful)) in judged.iter().zip(&truth.harmful).enumerate() {
        let harm = one.verdict == Verdict::Harm;
        as_told &= harm == *harmful && (!truth.helped || one.verdict == Verdict::Improvement);
        match (harm, *harmful) {
            (true, true) => {
                tally.right += 1;
                tally.delays.extend(one.since.map(|s| s - case.changes[i].start));
                tally.hurt += truth.affected.len();
                tally.named += truth.affected.iter().filter(|w| one.affected().contains(w)).count();
            }
            (true, false) => tally.wrong += 1,
            (false, true) => tally.missed += 1,
            (false, false) => {}
        }
        tally.harmless += usize::from(!harmful);
        tally.brier.push((one.probability_of_harm() - f64::from(u8::from(*harmful))).powi(2));
        if judged.len() > 1 && *harmful {
            tally.ranked += 1;
            tally.first += usize::from(one.rank == 1);
        }
    }
    as_told
}
