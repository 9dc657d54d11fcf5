//! The signals a recording can hold: which direction harms, and what change is too small to matter.

/// A measured quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Requests per second.
    RequestRate,
    /// Share of requests that succeeded, 0..1.
    SuccessRatio,
    /// Seconds, a mean or an upper quantile.
    Latency,
    /// Processor use, cores.
    Cpu,
    /// Memory use, bytes.
    Memory,
    /// Bytes per second received.
    NetworkReceive,
    /// Bytes per second sent.
    NetworkTransmit,
    /// Of unknown meaning.
    Gauge,
}

/// Which direction of a signal is harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// More is worse.
    Up,
    /// Less is worse.
    Down,
    /// Any material change counts as harm, because the meaning is unknown.
    Either,
}

impl Signal {
    /// Every signal, in a fixed order.
    pub const ALL: [Self; 8] = [
        Self::RequestRate,
        Self::SuccessRatio,
        Self::Latency,
        Self::Cpu,
        Self::Memory,
        Self::NetworkReceive,
        Self::NetworkTransmit,
        Self::Gauge,
    ];

    /// The name in files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestRate => "request_rate",
            Self::SuccessRatio => "success_ratio",
            Self::Latency => "latency_seconds",
            Self::Cpu => "cpu_cores",
            Self::Memory => "memory_bytes",
            Self::NetworkReceive => "network_receive_bytes_rate",
            Self::NetworkTransmit => "network_transmit_bytes_rate",
            Self::Gauge => "gauge",
        }
    }

    /// The signal of a name, if it is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Which direction harms.
    #[must_use]
    pub fn harm(self) -> Harm {
        match self {
            Self::RequestRate | Self::SuccessRatio => Harm::Down,
            Self::Latency | Self::Cpu | Self::Memory => Harm::Up,
            Self::NetworkReceive | Self::NetworkTransmit | Self::Gauge => Harm::Either,
        }
    }

    /// Whether values below zero can be real.
    #[must_use]
    pub fn may_be_negative(self) -> bool {
        self == Self::Gauge
    }
}
