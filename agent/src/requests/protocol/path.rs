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
    let path = path(target);
    if path == b"*" {
        route.push('*');
        return;
    }
    for (count, segment) in path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').enumerate() {
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

/// Without scheme, host, query and fragment.
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

/// Letters in no word's form: hexadecimal ones only, or many of both cases without a seam.
fn is_token(part: &[u8]) -> bool {
    let hex = part.len() >= 8 && part.iter().all(u8::is_ascii_hexdigit);
    let upper = part.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let mixed = part.len() >= 16 && upper * 3 > part.len() && upper < part.len();
    hex || mixed || part.len() > 24
}

/// `v1`, `v2.1`, `v1beta1`
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix(['v', 'V']) else { return false };
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
}
