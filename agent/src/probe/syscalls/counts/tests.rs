use std::collections::HashMap;

use agent_common::syscalls::{CACHED, Cached, Count, CountKey, place};

use super::Known;
use crate::logs::random::Random;

const CPUS: usize = 2;
const KEYS: usize = 40;

/// The program's part, step by step, as a reader on another CPU sees it.
struct Kernel {
    counts: HashMap<CountKey, [Count; CPUS]>,
    cache: Vec<Cached>,
    /// A change of a place's key that is under way: place, new key, next step.
    moving: [Option<(usize, CountKey, u8)>; CPUS],
}

impl Kernel {
    fn new() -> Self {
        Self { counts: HashMap::new(), cache: vec![Cached::default(); CACHED * CPUS], moving: [None; CPUS] }
    }

    /// Goes on with a change, one step.
    fn step(&mut self, cpu: usize) {
        let Some((at, key, step)) = self.moving[cpu] else { return };
        let entry = &mut self.cache[at];
        match step {
            0 => entry.begun += 1,
            1 if entry.calls > 0 => {
                let old = CountKey { workload: entry.workload, number: entry.number, _pad: 0 };
                let count = &mut self.counts.entry(old).or_default()[cpu];
                count.calls += entry.calls;
                count.errors += entry.errors;
            }
            2 => (entry.calls, entry.errors) = (0, 0),
            3 => (entry.workload, entry.number) = (key.workload, key.number),
            4 => {
                entry.ended = entry.begun;
                entry.calls += 1;
                self.moving[cpu] = None;
                return;
            }
            _ => {}
        }
        self.moving[cpu] = Some((at, key, step + 1));
    }

    fn call(&mut self, cpu: usize, key: CountKey) {
        self.finish(cpu);
        // keys crowd a few places
        let at = cpu * CACHED + place(key.workload, key.number) % 4;
        let entry = &mut self.cache[at];
        if (entry.workload, entry.number) == (key.workload, key.number) {
            entry.calls += 1;
            return;
        }
        self.moving[cpu] = Some((at, key, 0));
    }

    fn finish(&mut self, cpu: usize) {
        while self.moving[cpu].is_some() {
            self.step(cpu);
        }
    }

    fn totals(&self) -> HashMap<CountKey, Count> {
        let sum = |counts: &[Count; CPUS]| Count {
            calls: counts.iter().map(|count| count.calls).sum(),
            errors: counts.iter().map(|count| count.errors).sum(),
        };
        self.counts.iter().map(|(key, counts)| (*key, sum(counts))).collect()
    }

    /// One reading, while the program goes on between the one map and the other.
    fn read(&mut self, known: &mut Known, random: &mut Random, told: &mut HashMap<CountKey, u64>) {
        let totals = self.totals();
        for _ in 0..random.below(12) {
            self.step(random.below(CPUS));
        }
        let cached = self.cache.clone();
        let mut visit = |key, gained: Count| *told.entry(key).or_default() += gained.calls;
        for key in known.advance(totals, &cached, &mut visit) {
            let last = self.totals().remove(&key).unwrap_or_default();
            self.counts.remove(&key);
            if let Some(gained) = known.forget(&key, last) {
                visit(key, gained);
            }
        }
    }
}

#[test]
fn counts_that_move_while_they_are_read_are_counted_once() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut kernel, mut known) = (Kernel::new(), Known::new(3));
        let (mut truth, mut told) = (HashMap::new(), HashMap::new());
        for _ in 0..400 {
            let cpu = random.below(CPUS);
            match random.below(24) {
                0 => kernel.read(&mut known, &mut random, &mut told),
                1..8 => kernel.step(cpu),
                _ => {
                    let workload = u64::try_from(random.below(KEYS)).unwrap();
                    let key = CountKey { workload, number: 1, _pad: 0 };
                    *truth.entry(key).or_default() += 1;
                    kernel.call(cpu, key);
                }
            }
        }
        (0..CPUS).for_each(|cpu| kernel.finish(cpu));
        for _ in 0..2 {
            kernel.read(&mut known, &mut random, &mut told);
        }
        assert_eq!(told, truth, "seed {seed}");
    }
}

#[test]
fn idle_keys_leave_and_come_back_from_zero() {
    let key = CountKey { workload: 7, number: 1, _pad: 0 };
    let count = |calls| Count { calls, errors: 0 };
    let mut known = Known::new(2);
    let mut gained = Vec::new();
    let mut read = |known: &mut Known, calls| {
        let totals = HashMap::from([(key, count(calls))]);
        known.advance(totals, &[], &mut |_, count: Count| gained.push(count.calls))
    };
    assert!(read(&mut known, 5).is_empty() && read(&mut known, 5).is_empty());
    assert_eq!(read(&mut known, 5), [key]);
    assert_eq!(known.forget(&key, count(6)), Some(count(1)));
    assert!(read(&mut known, 2).is_empty());
    assert_eq!(gained, [5, 2]);
}
