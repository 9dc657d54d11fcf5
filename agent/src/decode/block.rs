//! Block counters to rows.

use std::collections::HashMap;

use agent_common::block::{Stats, StatsKey};
use proto::v1;

use crate::window::sample::{Owner, Row, Sample};

/// Device number, as in the key → name, e.g. `vda`.
pub type Devices = HashMap<u32, String>;

/// Reads lines `<major>:<minor>` of device names, as `/sys/block/<name>/dev` gives them.
pub fn device_number(text: &str) -> Option<u32> {
    let (major, minor) = text.trim().split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

/// The operation's name, by the kernel's number.
pub fn operation(number: u32) -> String {
    match number {
        0 => "read".into(),
        1 => "write".into(),
        2 => "flush".into(),
        3 => "discard".into(),
        5 => "secure_erase".into(),
        7 => "zone_append".into(),
        9 => "write_zeroes".into(),
        34 => "driver_in".into(),
        35 => "driver_out".into(),
        other => format!("operation_{other}"),
    }
}

/// One owner's requests of one kind to one device in a window.
pub fn stats(key: &StatsKey, gained: &Stats, devices: &Devices) -> Sample {
    let device = devices
        .get(&key.device)
        .cloned()
        .unwrap_or_else(|| format!("{}:{}", key.device >> 20, key.device & 0xf_ffff));
    let row = v1::BlockRow {
        device,
        operation: operation(key.operation),
        operations: gained.operations,
        bytes: gained.bytes,
        latency_hist: gained.latency.to_vec(),
        ..Default::default()
    };
    Sample { owner: Owner::Workload(key.workload), row: Row::Block(row) }
}

#[cfg(test)]
mod tests {
    use agent_common::block::{Stats, StatsKey};

    use super::{Devices, device_number, operation, stats};
    use crate::window::sample::Row;

    #[test]
    fn devices_are_named_and_else_numbered() {
        let key = StatsKey { workload: 1, device: 254 << 20 | 3, operation: 1 };
        let gained = Stats { operations: 2, bytes: 8192, latency: [0; 106] };
        let name = |devices: &Devices| match stats(&key, &gained, devices).row {
            Row::Block(row) => row.device,
            _ => String::new(),
        };
        assert_eq!(name(&Devices::new()), "254:3");
        assert_eq!(name(&[(device_number("254:3\n").unwrap(), "vda".to_owned())].into()), "vda");
        assert_eq!((operation(0).as_str(), operation(77).as_str()), ("read", "operation_77"));
        for bad in ["", "1", "a:b", "1:-2", "5000:1", "1:9999999"] {
            assert_eq!(device_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn any_bytes_make_a_row() {
        let mut seed = 5_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = StatsKey { workload: seed, device: (seed >> 7) as u32, operation: (seed >> 30) as u32 };
            drop(stats(&key, &Stats { operations: seed, bytes: !seed, latency: [7; 106] }, &Devices::new()));
        }
    }
}
