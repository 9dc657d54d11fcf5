//! The crate as its users see it: one core for both ways in, no look ahead, honest error rates, no panic.

mod causality;
mod counts;
mod fuzz;
mod live;
mod onset;
mod oracle;
mod scenarios;
mod typeone;
