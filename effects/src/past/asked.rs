//! What is asked of a line: worse, better, or mended.

use crate::track::{Level, Side};

/// What is asked of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// Whether it got worse than the hour before: all that is asked of neighbours.
    Worse,
    /// That, or better.
    Either,
    /// Whether it got better than the quarter of an hour before, which an action answered.
    Mended,
}

impl Asked {
    /// How far back the level reaches.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Worse | Self::Either => Level::Hour,
            Self::Mended => Level::Quarter,
        }
    }

    /// The sides to learn, of a line that is hurt on this side; none where no side helps.
    pub(super) fn sides(self, hurt: Side) -> Vec<Side> {
        let help = hurt.mirror();
        match self {
            Self::Worse => vec![hurt],
            Self::Either => std::iter::once(hurt).chain(help).collect(),
            Self::Mended => help.into_iter().collect(),
        }
    }
}
