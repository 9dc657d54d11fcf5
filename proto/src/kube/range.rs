//! Ranges of addresses, as `10.96.0.0/12` writes them.

use std::net::IpAddr;

/// A range; IPv4 as IPv6 does not contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    first: u128,
    /// Bits that are the same, of 32 or 128.
    bits: u8,
    is_v4: bool,
}

impl Range {
    /// The range that this text names.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        Self::around(address.parse().ok()?, bits.parse().ok()?)
    }

    /// The range of `bits` equal bits that holds an address.
    pub fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let (value, width, is_v4) = number(address);
        (bits <= width).then(|| Self { first: value & mask(bits, width), bits, is_v4 })
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (value, width, is_v4) = number(address);
        is_v4 == self.is_v4 && value & mask(self.bits, width) == self.first
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = match u32::try_from(self.first) {
            Ok(first) if self.is_v4 => IpAddr::V4(first.into()),
            _ => IpAddr::V6(self.first.into()),
        };
        write!(formatter, "{first}/{}", self.bits)
    }
}

fn number(address: IpAddr) -> (u128, u8, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32, true),
        IpAddr::V6(address) => (u128::from(address), 128, false),
    }
}

/// The upper `bits` of `width`.
fn mask(bits: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    let free = u32::from(width.saturating_sub(bits));
    if free >= 128 { 0 } else { all & (u128::MAX << free) }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn a_range_holds_its_own() {
        let range = Range::parse("10.96.0.0/12").unwrap();
        assert!(
            range.contains("10.96.0.1".parse().unwrap())
                && range.contains("::ffff:10.111.255.255".parse().unwrap())
        );
        assert!(
            !range.contains("10.112.0.0".parse().unwrap()) && !range.contains("fd00::1".parse().unwrap())
        );
        assert_eq!(Range::around("10.96.7.9".parse().unwrap(), 16).unwrap().to_string(), "10.96.0.0/16");
        let six = Range::parse("fd00:96::/112").unwrap();
        assert!(six.contains("fd00:96::9".parse().unwrap()) && !six.contains("fd00:97::9".parse().unwrap()));
        assert_eq!(six.to_string(), "fd00:96::/112");
        assert!(Range::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!(Range::parse("::/0").unwrap().contains("::1".parse().unwrap()));
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "::/129", "10.0.0.0/-1"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
