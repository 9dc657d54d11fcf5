//! The Huffman code of HPACK (RFC 7541, appendix B): canonical, so the lengths of the codes are all of it.

/// Bits of the longest code.
const LONGEST: usize = 30;

/// Bits of each octet's code; the last is that of the end of a string, which no string may hold.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

/// Codes of each length, and all octets in the order of their codes.
struct Code {
    counts: [u16; LONGEST + 1],
    symbols: [u16; 257],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code { counts: [0; LONGEST + 1], symbols: [0; 257] };
    let (mut length, mut next) = (1, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.counts[length] += 1;
                code.symbols[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    code
}

/// Adds the decoded string; false if it is none.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut value, mut first, mut index, mut length) = (0_u32, 0_u32, 0_u32, 0_usize);
    let mut ones = true;
    for byte in bytes {
        for bit in (0..8).rev() {
            let bit = u32::from(byte >> bit & 1);
            ones &= bit == 1;
            value |= bit;
            length += 1;
            if length > LONGEST {
                return false;
            }
            let count = u32::from(CODE.counts[length]);
            if value < first + count {
                match CODE.symbols.get((index + value - first) as usize) {
                    Some(&symbol) if symbol < 256 => out.push(symbol as u8),
                    _ => return false,
                }
                (value, first, index, length, ones) = (0, 0, 0, 0, true);
                continue;
            }
            index += count;
            first = (first + count) << 1;
            value <<= 1;
        }
    }
    // What is left is padding: fewer than eight ones.
    length < 8 && ones
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[track_caller]
    fn check(hex: &str, expect: Option<&str>) {
        let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let mut out = Vec::new();
        let good = decode(&bytes, &mut out);
        assert_eq!(good.then_some(out.as_slice()), expect.map(str::as_bytes));
    }

    #[test]
    fn strings_of_the_specification() {
        check("f1e3c2e5f23a6ba0ab90f4ff", Some("www.example.com"));
        check("a8eb10649cbf", Some("no-cache"));
        check("25a849e95ba97d7f", Some("custom-key"));
        check("25a849e95bb8e8b4bf", Some("custom-value"));
        check("d07abe941054d444a8200595040b8166e082a62d1bff", Some("Mon, 21 Oct 2013 20:13:21 GMT"));
        check("9d29ad171863c78f0b97c8e9ae82ae43d3", Some("https://www.example.com"));
        check("", Some(""));
    }

    #[test]
    fn what_is_no_string_is_refused() {
        check("ff", None);
        check("a8eb10649cbfff", None);
        check("a8eb10649cbe", None);
        check("ffffffffff", None);
    }
}
