//! Statistics that know nothing of changes: order statistics, evidence from counts, from bounded values and
//! from latency histograms, tails.

pub mod betting;
pub mod counts;
pub mod histogram;
pub mod robust;
