//! Ids as hexadecimal digits and back, four bytes at a time: each span has three of them, on every way out.

const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const ONES: u64 = 0x0101_0101_0101_0101;

/// The lower-case digits of four bytes.
#[inline]
pub(crate) fn digits(bytes: [u8; 4]) -> [u8; 8] {
    let four = u64::from(u32::from_be_bytes(bytes));
    // half a byte in each byte
    let spread = (four & 0xffff) | (four & 0xffff_0000) << 16;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & LOW;
    let is_letter = ((spread + 6 * ONES) >> 4) & ONES;
    (spread + u64::from(b'0') * ONES + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// The four bytes that these lower-case digits are; `None` for anything else.
#[inline]
pub(crate) fn bytes(digits_of: [u8; 8]) -> Option<[u8; 4]> {
    let text = u64::from_be_bytes(digits_of);
    let halves = (text & LOW).wrapping_add(((text >> 6) & ONES) * 9) & LOW;
    let pairs = (halves | halves >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    let four = ((pairs | pairs >> 16) as u32).to_be_bytes();
    (digits(four) == digits_of).then_some(four)
}

#[cfg(test)]
mod tests {
    use super::{bytes, digits};

    #[test]
    fn digits_are_those_of_the_bytes_and_nothing_else_is() {
        for number in (0..=u32::MAX).step_by(65_521) {
            let four = number.to_be_bytes();
            let text = format!("{number:08x}");
            assert_eq!(digits(four), text.as_bytes());
            assert_eq!(bytes(digits(four)), Some(four));
        }
        for byte in 0..=u8::MAX {
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            for place in 0..8 {
                let mut text = *b"01239abf";
                text[place] = byte;
                assert_eq!(bytes(text).is_some(), is_digit, "{byte} at {place}");
            }
        }
    }
}
