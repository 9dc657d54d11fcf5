//! What can happen in a simulated recording.

use crate::case::ChangeKind;

/// One story. The system is front → middle → back; side shares back's node, and far has nothing to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A rollout of the middle after which one request in ten fails.
    ErrorBurst,
    /// A rollout of the middle that makes it a fifth slower.
    Slower,
    /// A rollout of the middle that makes it a half slower.
    MuchSlower,
    /// A rollout of the middle that leaks memory, half of what it had per hour.
    Leak,
    /// A rollout of the back that takes three times the processor and slows the side, which shares its node.
    Neighbour,
    /// A change of the back that slows the front, two calls away.
    TwoHops,
    /// A configuration change of the middle after which requests fail.
    Config,
    /// A rollback of the middle that makes it a half slower.
    BadRollback,
    /// A rollback of the middle that ends half an hour of failures.
    GoodRollback,
    /// Two changes at once, that of the middle guilty.
    OneOfTwo,
    /// Twice the traffic from outside; the change of the middle did nothing.
    Surge,
    /// Four fifths of everybody's traffic stay away; the change of the front did nothing.
    Quiet,
    /// A rollout of the middle after which four in five calls do not reach it any more.
    LostTraffic,
    /// New pods of the middle that never report.
    Silent,
    /// A rollout that did nothing.
    Nothing,
}

impl Scenario {
    /// Every scenario, in a fixed order.
    pub const ALL: [Self; 15] = [
        Self::ErrorBurst,
        Self::Slower,
        Self::MuchSlower,
        Self::Leak,
        Self::Neighbour,
        Self::TwoHops,
        Self::Config,
        Self::BadRollback,
        Self::GoodRollback,
        Self::OneOfTwo,
        Self::Surge,
        Self::Quiet,
        Self::LostTraffic,
        Self::Silent,
        Self::Nothing,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorBurst => "error-burst",
            Self::Slower => "slower-20",
            Self::MuchSlower => "slower-50",
            Self::Leak => "leak",
            Self::Neighbour => "neighbour",
            Self::TwoHops => "two-hops",
            Self::Config => "config",
            Self::BadRollback => "bad-rollback",
            Self::GoodRollback => "good-rollback",
            Self::OneOfTwo => "one-of-two",
            Self::Surge => "surge",
            Self::Quiet => "quiet",
            Self::LostTraffic => "lost-traffic",
            Self::Silent => "silent-pods",
            Self::Nothing => "nothing",
        }
    }

    /// What kind of act its change is.
    pub(super) fn kind(self) -> ChangeKind {
        match self {
            Self::Config => ChangeKind::Config,
            Self::BadRollback | Self::GoodRollback => ChangeKind::Rollback,
            _ => ChangeKind::Rollout,
        }
    }

    /// Whether its first change hurts.
    pub(super) fn harms(self) -> bool {
        !matches!(self, Self::GoodRollback | Self::Surge | Self::Quiet | Self::Nothing)
    }
}

/// What truly happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Per change, in the order of the case: whether it hurt its workload or others.
    pub harmful: Vec<bool>,
    /// Whether the first change helped.
    pub helped: bool,
    /// Workloads that were hurt.
    pub affected: Vec<&'static str>,
}
