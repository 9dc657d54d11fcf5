//! net/http's HTTP/2: which goroutine serves a stream, and for which one a stream of its client is opened.
//!
//! The fields that the programs read are where they are in Go 1.18 to 1.26, by the DWARF of programs that these have made; but
//! a goroutine says only since 1.21 who has made it, in two places.

use std::collections::BTreeMap;

use super::binary::code_of;
use super::elf::{Elf, Function, Source};
use super::grpc::SERVED;
use crate::kernel::uprobe::Place;

/// The handler of a stream, on the goroutine that serves it.
const SERVES: &str = "net/http.(*http2serverConn).runHandler";
/// What asks over a connection, on the goroutine that does; before 1.23 the first of the two alone.
const ASKED: &str = "net/http.(*http2ClientConn).RoundTrip";
const ASKS: &str = "net/http.(*http2ClientConn).roundTrip";
/// What sends a request's head, on a goroutine of the stream's own, when it has its number.
const OPENS: &str = "net/http.(*http2clientStream).encodeAndWriteHeaders";

/// The functions that are looked for.
pub const FUNCTIONS: [&str; 4] = [SERVES, ASKED, ASKS, OPENS];

/// Places in a program of which these functions were found, made by Go 1.`minor`; of functions that are not as known none.
pub fn places<S: Source + ?Sized>(
    elf: &Elf<'_, S>,
    found: &BTreeMap<&str, Function>,
    minor: u32,
) -> Vec<Place> {
    let place = |program, offsets| Place { program, offsets, is_return: false };
    let begin = |name: &str, program| -> Option<Place> {
        let function = found.get(name)?;
        let code = code_of(elf, function).ok()?;
        Some(place(program, vec![function.offset + code.begin]))
    };
    let mut places = Vec::new();
    if let Some(serves) = found.get(SERVES)
        && let Ok(code) = code_of(elf, serves)
    {
        places.push(place("tls_h2_serves", vec![serves.offset + code.begin]));
        places.push(place(SERVED, code.returns.iter().map(|at| serves.offset + at).collect()));
    }
    let asks = begin(ASKS, "tls_h2_asks").or_else(|| begin(ASKED, "tls_h2_asks"));
    let opens = opening(minor).and_then(|program| begin(OPENS, program));
    if let (Some(asks), Some(opens)) = (asks, opens) {
        places.extend([asks, opens]);
    }
    places
}

/// The program at which a stream is opened.
fn opening(minor: u32) -> Option<&'static str> {
    match minor {
        21..=25 => Some("tls_h2_opens_21"),
        26 => Some("tls_h2_opens_26"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{SERVED, opening};
    use crate::tls::go::VERSIONS;

    #[test]
    fn of_each_version_it_is_known_who_opens_a_stream_or_that_nobody_says_it() {
        let said = VERSIONS.map(opening);
        let [first, second] = ["tls_h2_opens_21", "tls_h2_opens_26"].map(Some);
        assert!(said.eq([None, None, None, first, first, first, first, first, second]));
    }

    #[test]
    fn every_program_is_in_the_object() {
        for program in [SERVED, "tls_h2_serves", "tls_h2_asks", "tls_h2_opens_21", "tls_h2_opens_26"] {
            assert!(
                memchr::memmem::find(crate::ebpf_object!("tls"), program.as_bytes()).is_some(),
                "{program}"
            );
        }
    }
}
