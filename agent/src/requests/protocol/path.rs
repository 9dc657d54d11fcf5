//! Paths of URLs without what differs from request to request: query, fragment, ids, tokens.
//!
//! A segment stays only if it reads like a word of the program: what has digits (but versions, and words with one
//! digit), what is encoded, long, or in no word's form becomes `{id}`. It errs on the side of `{id}`.

/// Segments of a route; what is deeper is `{rest}`.
const MAX_SEGMENTS: usize = 8;
/// Bytes of a segment that may be a word.
const MAX_WORD: usize = 40;

/// The route of a path or of a whole URL, as in `/users/{id}/orders`; at most some 330 bytes.
pub(super) fn route(target: &[u8]) -> String {
    let mut route = String::new();
    route_to(target, &mut route);
    route
}

/// The same behind what is there already.
pub(super) fn route_to(target: &[u8], route: &mut String) {
    let mut path = path(target);
    if matches!(path, b"*" | [b'*', b'?' | b'#', ..]) {
        route.push('*');
        return;
    }
    path = path.strip_prefix(b"/").unwrap_or(path);
    for count in 0.. {
        route.push('/');
        if count == MAX_SEGMENTS {
            route.push_str("{rest}");
            break;
        }
        let (word, behind) = segment(path);
        route.push_str(word.unwrap_or("{id}"));
        let Some(next) = behind else { break };
        path = next;
    }
}

/// Without scheme and host; query and fragment may be behind it still.
fn path(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let end = target.iter().position(|byte| is(*byte, END)).unwrap_or(target.len());
    let before = &target[..end];
    let Some(scheme) = before.windows(3).position(|three| three == b"://") else { return target };
    let behind = &before[scheme + 3..];
    behind.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &behind[slash..])
}

/// What a byte may be in a path.
const LETTER: u8 = 1;
const UPPER: u8 = 2;
const DIGIT: u8 = 4;
/// A letter or digit of a hexadecimal number.
const HEX: u8 = 8;
/// Between two words of a segment.
const SEAM: u8 = 16;
/// The end of the segment.
const SLASH: u8 = 32;
/// The end of the path.
const END: u8 = 64;
/// What is not the segment's any more, as far as its end.
const MATRIX: u8 = 128;
const BEHIND: u8 = SLASH | END | MATRIX;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'f' => LETTER | HEX,
            b'g'..=b'z' => LETTER,
            b'A'..=b'F' => LETTER | UPPER | HEX,
            b'G'..=b'Z' => LETTER | UPPER,
            b'0'..=b'9' => DIGIT | HEX,
            b'-' | b'_' | b'.' | b':' | b'~' => SEAM,
            b'/' => SLASH,
            b'?' | b'#' => END,
            b';' => MATRIX,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

#[inline]
fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

#[inline]
fn is(byte: u8, what: u8) -> bool {
    kind(byte) & what != 0
}

/// The first segment, if it is a word, and what is behind its slash. Every request has a path, so it is read in one pass.
fn segment(path: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    let (mut digits, mut letters) = (0_u32, 0_u32);
    // whether a part is a token, or a byte is none of a word's
    let (mut has_token, mut has_other) = (false, false);
    let mut part = Part::default();
    let mut length = path.len();
    for (at, byte) in path.iter().enumerate() {
        let kind = kind(*byte);
        if kind & BEHIND != 0 {
            length = at;
            break;
        }
        if kind & SEAM != 0 {
            has_token |= part.is_token();
            part = Part::default();
            continue;
        }
        has_other |= kind == 0;
        letters += u32::from(kind & LETTER);
        digits += u32::from(kind & DIGIT != 0);
        part.length += 1;
        part.hex += u32::from(kind & HEX != 0);
        part.upper += u32::from(kind & UPPER != 0);
    }
    has_token |= part.is_token();
    let (word, behind) = path.split_at(length);
    let few_digits = digits == 0 || digits == 1 && letters >= 2;
    let is_word = length <= MAX_WORD && !has_other && (few_digits && !has_token || is_version(word));
    let end = behind.iter().position(|byte| is(*byte, SLASH | END)).unwrap_or(behind.len());
    let next = behind.get(end..).and_then(|behind| behind.strip_prefix(b"/"));
    (str::from_utf8(word).ok().filter(|_| is_word), next)
}

/// What stands between two seams.
#[derive(Default)]
struct Part {
    length: u32,
    hex: u32,
    upper: u32,
}

impl Part {
    /// Letters in no word's form: hexadecimal ones only, or many of both cases without a seam.
    fn is_token(&self) -> bool {
        let Self { length, hex, upper } = *self;
        let mixed = length >= 16 && upper * 3 > length && upper < length;
        length >= 8 && hex == length || mixed || length > 24
    }
}

/// `v1`, `v2.1`, `v1beta1`
fn is_version(segment: &[u8]) -> bool {
    let [b'v' | b'V', rest @ ..] = segment else { return false };
    let Ok(rest) = str::from_utf8(rest) else { return false };
    let parts = rest.split_once("alpha").or_else(|| rest.split_once("beta")).or_else(|| rest.split_once('.'));
    let (major, minor) = parts.unwrap_or((rest, ""));
    let number = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    !major.is_empty() && number(major) && number(minor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::route;

    #[track_caller]
    fn check(target: &str, expect: &str) {
        assert_eq!(route(target.as_bytes()), expect);
    }

    #[test]
    fn ids_become_placeholders() {
        check("/users/42", "/users/{id}");
        check("/users/42/orders/7?token=secret", "/users/{id}/orders/{id}");
        check("/o/550e8400-e29b-41d4-a716-446655440000/x", "/o/{id}/x");
        check("/o/deadbeef", "/o/{id}");
        check("/reset/dGhpc0lzQVNlY3JldA", "/reset/{id}");
        check("/u/ann@example.org", "/u/{id}");
        check("/u/a%20b", "/u/{id}");
        check("/assets/app.3f2a1b9c.js", "/assets/{id}");
        check("/2026/11/22", "/{id}/{id}/{id}");
        check("/cart;jsessionid=31337/items", "/cart/items");
    }

    #[test]
    fn words_stay() {
        check("/", "/");
        check("*", "*");
        check("/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods");
        check("/apis/apps/v1beta2/deployments", "/apis/apps/v1beta2/deployments");
        check("/oauth2/token", "/oauth2/token");
        check("/getUserProfile.do", "/getUserProfile.do");
        check("/v1/projects:search", "/v1/projects:search");
        check("http://example.org:80/a/b?c#d", "/a/b");
        check("http://example.org", "/");
        check("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{rest}");
        check("/index.html", "/index.html");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_number_survives(prefix in "[a-u]{0,6}", number in 10u64.., tail in "[a-z/]{0,8}") {
            let told = route(format!("/{prefix}{number}{tail}?{number}").as_bytes());
            assert!(!told.contains(&number.to_string()), "{told}");
        }

        #[test]
        fn any_bytes_give_a_bounded_route(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let told = route(&bytes);
            assert!(told.len() <= 340 && told.is_ascii(), "{told}");
            let digits: usize = told.split('/').map(|segment| segment.bytes().filter(u8::is_ascii_digit).count()).max().unwrap_or(0);
            assert!(digits <= 4 && !told.contains(['?', '#', '%', '@', '=']), "{told}");
        }
    }
    /// The rules as they read, step by step; the path itself is read in one pass.
    mod plain {
        use super::super::{MAX_SEGMENTS, MAX_WORD};

        pub(super) fn route(target: &[u8]) -> String {
            let mut route = String::new();
            route_to(target, &mut route);
            route
        }

        fn route_to(target: &[u8], route: &mut String) {
            let path = path(target);
            if path == b"*" {
                route.push('*');
                return;
            }
            for (count, segment) in
                path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').enumerate()
            {
                route.push('/');
                if count == MAX_SEGMENTS {
                    route.push_str("{rest}");
                    break;
                }
                let segment = segment.split(|byte| *byte == b';').next().unwrap_or_default();
                match str::from_utf8(segment) {
                    Ok(word) if is_word(word) => route.push_str(word),
                    _ => route.push_str("{id}"),
                }
            }
        }

        fn path(target: &[u8]) -> &[u8] {
            let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
            let target = &target[..end];
            if target.starts_with(b"/") {
                return target;
            }
            let Some(scheme) = target.windows(3).position(|three| three == b"://") else { return target };
            let behind = &target[scheme + 3..];
            behind.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &behind[slash..])
        }

        fn is_word(segment: &str) -> bool {
            let bytes = segment.as_bytes();
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:~".contains(byte);
            if bytes.len() > MAX_WORD || !bytes.iter().all(plain) {
                return false;
            }
            if is_version(segment) {
                return true;
            }
            let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
            let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
            let few_digits = digits == 0 || digits == 1 && letters >= 2;
            few_digits && !bytes.split(|byte| b"-_.:~".contains(byte)).any(is_token)
        }

        fn is_token(part: &[u8]) -> bool {
            let hex = part.len() >= 8 && part.iter().all(u8::is_ascii_hexdigit);
            let upper = part.iter().filter(|byte| byte.is_ascii_uppercase()).count();
            let mixed = part.len() >= 16 && upper * 3 > part.len() && upper < part.len();
            hex || mixed || part.len() > 24
        }

        fn is_version(segment: &str) -> bool {
            let Some(rest) = segment.strip_prefix(['v', 'V']) else { return false };
            let parts =
                rest.split_once("alpha").or_else(|| rest.split_once("beta")).or_else(|| rest.split_once('.'));
            let (major, minor) = parts.unwrap_or((rest, ""));
            let number = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            !major.is_empty() && number(major) && number(minor)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn one_pass_tells_what_the_rules_say(
            target in "(/|h://)?((/|;|\\?|#|-|\\.|:|%|\\*|é)?([a-z]{0,9}|[a-fA-F0-9]{0,9}|[a-zA-Z]{0,30}|v[0-9]{0,3}((alpha|beta|\\.)[0-9])?|[0-9]|\\*)){0,9}"
        ) {
            assert_eq!(route(target.as_bytes()), plain::route(target.as_bytes()), "{target}");
        }
    }
}
