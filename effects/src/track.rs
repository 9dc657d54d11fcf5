//! One series across one change: residuals against counterfactuals, summed up in views, compared with what the
//! same views did at moments when nothing changed.
//!
//! In: the grid of the series up to the change, then its values one by one. Out: a ratio; 1 is the .95 quantile
//! of the placebos. The placebos run through the same code as the change. Invariant: nothing after the last
//! pushed value is read.

mod frame;
mod placebo;
mod top;
mod tracker;
mod views;
mod windows;

pub use frame::{Level, Plan};
pub use placebo::{Least, Reference};
pub use tracker::{Ratio, Tracker};
pub use views::Side;
