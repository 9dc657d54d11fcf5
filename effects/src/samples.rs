//! Everything observed so far, found by entity and signal or by workload.

use std::collections::BTreeMap;

use crate::case::{Case, Entity, Signal};

/// Samples in order of time.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    series: Vec<Kept>,
    ids: BTreeMap<Entity, BTreeMap<Signal, usize>>,
    by_workload: BTreeMap<String, Vec<usize>>,
}

/// One series as kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) entity: Entity,
    pub(crate) signal: Signal,
    pub(crate) values: Vec<(i64, f64)>,
}

impl Kept {
    /// Samples with a time in `(from, to]`.
    pub(crate) fn between(&self, from: i64, to: i64) -> &[(i64, f64)] {
        let a = self.values.partition_point(|s| s.0 <= from);
        let b = self.values.partition_point(|s| s.0 <= to);
        &self.values[a..b.max(a)]
    }
}

impl Samples {
    /// Adds a sample. One that is not newer than the last of its series is refused: looks were taken already.
    pub fn add(&mut self, facts: &Case, entity: &Entity, signal: Signal, time: i64, value: f64) -> bool {
        if !crate::case::possible(signal, value) || !crate::case::is_time(time) {
            return false;
        }
        let id = match self.id(entity, signal) {
            Some(id) => id,
            None => self.enter(facts, entity, signal),
        };
        let values = &mut self.series[id].values;
        if values.last().is_some_and(|last| last.0 >= time) {
            return false;
        }
        values.push((time, value));
        true
    }

    fn enter(&mut self, facts: &Case, entity: &Entity, signal: Signal) -> usize {
        let id = self.series.len();
        self.series.push(Kept { entity: entity.clone(), signal, values: Vec::new() });
        self.ids.entry(entity.clone()).or_default().insert(signal, id);
        if let Some(workload) = facts.workload_of(entity) {
            self.by_workload.entry(workload.to_owned()).or_default().push(id);
        }
        id
    }

    /// The series of one entity and signal.
    pub(crate) fn get(&self, entity: &Entity, signal: Signal) -> Option<&Kept> {
        self.id(entity, signal).map(|id| &self.series[id])
    }

    fn id(&self, entity: &Entity, signal: Signal) -> Option<usize> {
        self.ids.get(entity)?.get(&signal).copied()
    }

    /// All series of a workload: its own, its pods', and the calls it answers.
    pub(crate) fn of_workload(&self, workload: &str) -> impl Iterator<Item = &Kept> {
        self.by_workload.get(workload).into_iter().flatten().map(|&id| &self.series[id])
    }
}
