//! The hidden `wake simulate`: seeded cases with their truth, in the format that `wake eval` and scorers read.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use effects::case::{Case, Change, Entity};
use effects::simulate::{Scenario, Truth, World, simulate};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::read::COLUMNS;
use crate::out::Out;

/// The hidden `wake simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// Writes `cases/` and `truth/` below this directory
    #[arg(value_name = "DIR")]
    into: PathBuf,
    /// Cases per world and scenario
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// Only this world
    #[arg(long, value_name = "NAME", value_parser = world)]
    world: Option<World>,
    /// Suites are scenarios instead of worlds
    #[arg(long)]
    by_scenario: bool,
}

fn world(name: &str) -> Result<World, String> {
    let names = || World::ALL.map(|w| w.name).join(", ");
    World::named(name).ok_or_else(|| format!("expected one of {}", names()))
}

/// Writes every scenario of every world asked for.
pub(crate) fn run(args: &SimulateArgs, out: &Out) -> anyhow::Result<()> {
    let worlds = args.world.map_or_else(|| World::ALL.to_vec(), |w| vec![w]);
    let mut written = 0;
    for world in &worlds {
        for scenario in Scenario::ALL {
            for seed in args.first..args.first.saturating_add(args.seeds) {
                let (case, told) = simulate(scenario, world, seed);
                let suite = if args.by_scenario { scenario.name() } else { world.name };
                let cases = args.into.join("cases").join(&case.id);
                write(&cases, "case.json", serde_json::to_string(&facts(&case))?.as_bytes())?;
                write(&cases, "series.csv.gz", &series(&case)?)?;
                let truth = serde_json::to_string(&truth(&case, &told, suite))?;
                write(&args.into.join("truth").join(&case.id), "truth.json", truth.as_bytes())?;
                written += 1;
            }
        }
    }
    Ok(out.line(&format!("{written} cases in {}", args.into.display()))?)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}

fn facts(case: &Case) -> Value {
    let pods = case.pods.iter().map(|p| {
        json!({"id": p.id, "workload": p.workload, "node": p.node, "created": p.created, "deleted": p.deleted})
    });
    let change = |c: &Change| {
        json!({
            "id": c.id, "kind": c.kind.name(), "workload": c.workload, "start": c.start, "end": c.end,
            "observe_until": c.observe_until, "pods_new": c.pods_new, "pods_old": c.pods_old,
        })
    };
    json!({
        "format": 1,
        "case": case.id,
        "step_seconds": case.step_s,
        "start": case.span.0,
        "end": case.span.1,
        "relative_signals": case.relative.iter().map(|s| s.name()).collect::<Vec<_>>(),
        "workloads": case.workloads,
        "pods": pods.collect::<Vec<Value>>(),
        "edges": case.edges,
        "changes": case.changes.iter().map(change).collect::<Vec<Value>>(),
    })
}

/// Rows sorted by time, as recordings have them.
fn series(case: &Case) -> std::io::Result<Vec<u8>> {
    let mut rows: Vec<(i64, &Entity, &'static str, f64)> = Vec::new();
    for one in &case.series {
        rows.extend(one.samples.iter().map(|(t, v)| (*t, &one.entity, one.signal.name(), *v)));
    }
    rows.sort_by_key(|row| row.0);
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(file, "{}", COLUMNS.join(","))?;
    for (time, entity, signal, value) in rows {
        let kind = match entity {
            Entity::Workload(_) => "workload",
            Entity::Pod(_) => "pod",
            Entity::Node(_) => "node",
            Entity::Edge(..) => "edge",
        };
        writeln!(file, "{time},{kind},{entity},{signal},{value}")?;
    }
    file.finish()
}

fn truth(case: &Case, told: &Truth, suite: &str) -> Value {
    let noop = told.harmful.iter().all(|harmful| !harmful) && !told.helped;
    let culprit = case.changes.iter().zip(&told.harmful).find(|(_, harmful)| **harmful).map(|(c, _)| &c.id);
    let changes = case.changes.iter().zip(&told.harmful).map(|(c, harmful)| {
        json!({"id": c.id, "harmful": harmful, "start": c.start, "observe_until": c.observe_until})
    });
    json!({
        "format": 1,
        "case": case.id,
        "suite": suite,
        "step_seconds": case.step_s,
        "noop": noop,
        "culprit": culprit.filter(|_| case.changes.len() > 1),
        "affected": told.affected,
        "changes": changes.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::read;

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let world = World::named("young").unwrap();
        let (case, _) = simulate(Scenario::Silent, &world, 3);
        write(dir.path(), "case.json", serde_json::to_string(&facts(&case)).unwrap().as_bytes()).unwrap();
        write(dir.path(), "series.csv.gz", &series(&case).unwrap()).unwrap();
        let mut back = read::case(dir.path()).unwrap();
        let mut case = case.check().unwrap();
        for one in [&mut back, &mut case] {
            one.series.sort_by(|a, b| (&a.entity, a.signal).cmp(&(&b.entity, b.signal)));
        }
        assert_eq!(back, case);
    }
}
