//! Whether a call of HTTP/1 begins with a message, by its first eight bytes: a run may have several, behind bodies of which
//! nothing is told.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;
/// `HTTP/1.`
const ANSWER: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
/// A method has as many letters at least, and below eight of them a blank behind it.
const SHORTEST: u32 = 3;

/// `first` has the first byte lowest, `total` is how many the call carried. No loop and hardly a branch, for verifiers.
#[inline(always)]
pub const fn begins(first: u64, total: u64) -> bool {
    if first << 8 == ANSWER << 8 && total >= 8 {
        return true;
    }
    // what is not there counts as a letter: the rest of the method comes with the next call
    let missing = if total < 8 { u64::MAX << (total as u32 * 8) } else { 0 };
    let word = (first & !missing) | (missing & (b'A' as u64 * ONES));
    let low = word & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let behind_z = low + (0x80 - b'Z' as u64 - 1) * ONES;
    let others = (!from_a | behind_z | word) & HIGH;
    if others == 0 {
        return true;
    }
    // the first one that is no letter is a blank
    let unit = (others & others.wrapping_neg()) >> 7;
    unit >= 1 << (SHORTEST * 8) && word & unit.wrapping_mul(0xff) == unit.wrapping_mul(b' ' as u64)
}

#[cfg(test)]
mod tests {
    use super::begins;

    fn is(bytes: &[u8]) -> bool {
        let mut first = *b"\xffx \0HTTP";
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        begins(u64::from_le_bytes(first), bytes.len() as u64)
    }

    #[test]
    fn messages_begin_with_a_method_or_a_version() {
        let messages = [
            "GET / HTTP/1.1\r\n",
            "POST /a",
            "PUT /a HT",
            "DELETE /a",
            "OPTIONS *",
            "PROPFIND /",
            "MKCALENDAR /",
            "HTTP/1.1 200 OK",
            "HTTP/1.0 404",
            "P",
            "GE",
            "DELET",
            "POST ",
        ];
        for message in messages {
            assert!(is(message.as_bytes()), "{message}");
        }
        let others = [
            " GET / HTTP",
            "get / HTTP",
            "A blank",
            "I am text",
            "HTTP/2 200",
            "HTTP-like",
            "xxxxxxxxxxx",
            "0\r\n\r\nGET ",
            "GET\t/ HTTP",
            "GETx/ HTTP",
            "{\"A\": 1}",
            "GE/",
            "G ",
        ];
        for other in others {
            assert!(!is(other.as_bytes()), "{other}");
        }
        assert!(!is(b"GET\xa0/ HTTP") && !is(b"\xc7\xc5\xd4 / HTTP") && !is(&[0; 16]) && !is(&[0xff; 16]));
    }

    #[test]
    fn it_is_as_one_byte_after_the_other() {
        let slow = |bytes: &[u8]| {
            let letters = bytes.iter().take(8).take_while(|byte| byte.is_ascii_uppercase()).count();
            letters == bytes.len().min(8) || letters >= 3 && bytes[letters] == b' '
        };
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                for behind in [b' ', b'A', 0xff] {
                    let mut bytes = *b"ABCYZXMN++";
                    bytes[at] = byte;
                    if let Some(next) = bytes.get_mut(at + 1) {
                        *next = behind;
                    }
                    for length in 1..=bytes.len() {
                        assert_eq!(is(&bytes[..length]), slow(&bytes[..length]), "{:?}", &bytes[..length]);
                    }
                }
            }
        }
    }
}
