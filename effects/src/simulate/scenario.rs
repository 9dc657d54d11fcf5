//! What can happen in a simulated recording.

/// One story. Each has a call chain front → middle → back, a side workload, and one or two changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A rollout after which one request in ten fails.
    ErrorBurst,
    /// A rollout that makes its workload a half slower.
    Slower,
    /// A rollout that leaks memory.
    Leak,
    /// A rollout that takes the processor of a workload on the same node.
    Neighbour,
    /// A change of the back that slows the front, two calls away.
    TwoHops,
    /// A configuration change after which requests fail.
    Config,
    /// A rollback that makes things worse.
    BadRollback,
    /// A rollback that ends failures.
    GoodRollback,
    /// Two changes at once, one of them guilty.
    OneOfTwo,
    /// Twice the traffic from outside; the change did nothing.
    Surge,
    /// Four fifths of the traffic stay away; the change of the front did nothing.
    Quiet,
    /// A change after which nobody calls the workload any more.
    LostTraffic,
    /// New pods that never report.
    Silent,
    /// Nothing happens.
    Nothing,
}

impl Scenario {
    /// Every scenario, in a fixed order.
    pub const ALL: [Self; 14] = [
        Self::ErrorBurst,
        Self::Slower,
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
}

/// What truly happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Per change, in the order of the case: whether it hurt its workload or others.
    pub harmful: Vec<bool>,
    /// Whether the first change helped.
    pub helped: bool,
}
