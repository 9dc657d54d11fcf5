//! The programs' loss counters, as differences.

use agent_common::lost;
use aya::maps::Map;

use super::KernelFeatures;
use super::batch::MapError;
use super::table::Table;
use crate::probe::Sink;
use crate::window::sample::Loss;

/// The map `LOST` of one object.
#[derive(Debug)]
pub struct Losses {
    table: Table<u64>,
    signal: &'static str,
    reported: [u64; lost::REASONS as usize],
}

impl Losses {
    /// Takes over the map; what it counts is booked under `signal`.
    pub fn new(map: Map, features: &KernelFeatures, signal: &'static str) -> Result<Self, MapError> {
        Ok(Self { table: Table::new(map, features)?, signal, reported: [0; lost::REASONS as usize] })
    }

    /// Reports what was lost since the last call; returns the differences by reason.
    pub fn drain(&mut self, sink: &mut Sink) -> [u64; lost::REASONS as usize] {
        let mut differences = [0; lost::REASONS as usize];
        for reason in 0..lost::REASONS {
            let index = reason as usize;
            let total: u64 = self.table.get(reason).iter().sum();
            let count = total.saturating_sub(self.reported[index]);
            self.reported[index] = total;
            differences[index] = count;
            if count > 0 {
                sink.losses.push(Loss {
                    signal: self.signal,
                    stage: "kernel",
                    reason: lost::name(reason),
                    count,
                });
            }
        }
        differences
    }
}
