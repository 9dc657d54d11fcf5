//! Built-in rules: the words that secrets stand behind, and how far each secret reaches.

use std::ops::Range;

use super::runs::Runs;

/// A secret that was found.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) at: Range<usize>,
    pub(super) rule: &'static str,
    /// A private key whose end is not in this text.
    pub(super) is_open: bool,
}

/// What a word in the text may mean.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// A key whose value is secret whatever it looks like: `password=`.
    Secret(&'static str),
    /// A key whose value is secret if it looks random: `token=`.
    Likely(&'static str),
    /// `Authorization: <scheme> <credentials>`
    Authorization,
    /// `Bearer <token>`
    Bearer,
    /// A token that is known by its prefix: exact case, then at least so many letters, digits, `_` and `-`.
    Prefix(&'static str, &'static str, usize),
    /// Header and claims in base64, with dots.
    Jwt,
    /// `://user:password@`
    Url,
    /// `-----BEGIN .. PRIVATE KEY-----`
    Pem,
}

/// Every word, with what it may mean. Longer ones first where one begins another.
pub(super) const WORDS: &[(&str, Word)] = &[
    ("password", Word::Secret("password")),
    ("passwd", Word::Secret("password")),
    ("passphrase", Word::Secret("password")),
    ("pwd", Word::Secret("password")),
    ("_pass", Word::Secret("password")),
    ("secret", Word::Secret("secret")),
    ("secret_key", Word::Secret("secret")),
    ("secretkey", Word::Secret("secret")),
    ("access_key", Word::Likely("key")),
    ("access-key", Word::Likely("key")),
    ("accesskey", Word::Likely("key")),
    ("accountkey", Word::Likely("key")),
    ("api_key", Word::Likely("key")),
    ("api-key", Word::Likely("key")),
    ("apikey", Word::Likely("key")),
    ("private_key", Word::Likely("key")),
    ("privatekey", Word::Likely("key")),
    ("encryption_key", Word::Likely("key")),
    ("signing_key", Word::Likely("key")),
    ("auth_key", Word::Likely("key")),
    ("credential", Word::Likely("key")),
    ("x-amz-signature", Word::Likely("key")),
    ("token", Word::Likely("token")),
    ("authorization", Word::Authorization),
    ("bearer", Word::Bearer),
    ("eyj", Word::Jwt),
    ("akia", Word::Prefix("AKIA", "aws_key", 16)),
    ("asia", Word::Prefix("ASIA", "aws_key", 16)),
    ("ghp_", Word::Prefix("ghp_", "github_token", 36)),
    ("gho_", Word::Prefix("gho_", "github_token", 36)),
    ("ghu_", Word::Prefix("ghu_", "github_token", 36)),
    ("ghs_", Word::Prefix("ghs_", "github_token", 36)),
    ("ghr_", Word::Prefix("ghr_", "github_token", 36)),
    ("github_pat_", Word::Prefix("github_pat_", "github_token", 22)),
    ("glpat-", Word::Prefix("glpat-", "gitlab_token", 20)),
    ("xoxb-", Word::Prefix("xoxb-", "slack_token", 10)),
    ("xoxp-", Word::Prefix("xoxp-", "slack_token", 10)),
    ("xoxa-", Word::Prefix("xoxa-", "slack_token", 10)),
    ("xoxr-", Word::Prefix("xoxr-", "slack_token", 10)),
    ("xoxs-", Word::Prefix("xoxs-", "slack_token", 10)),
    ("xapp-", Word::Prefix("xapp-", "slack_token", 10)),
    ("sk_live_", Word::Prefix("sk_live_", "stripe_key", 16)),
    ("rk_live_", Word::Prefix("rk_live_", "stripe_key", 16)),
    ("sk_test_", Word::Prefix("sk_test_", "stripe_key", 16)),
    ("aiza", Word::Prefix("AIza", "google_key", 35)),
    ("sk-ant-", Word::Prefix("sk-ant-", "api_key", 20)),
    ("sk-proj-", Word::Prefix("sk-proj-", "api_key", 20)),
    ("npm_", Word::Prefix("npm_", "npm_token", 36)),
    ("://", Word::Url),
    ("-----begin", Word::Pem),
];

/// Values that say that there is none.
const NOT_SECRET: [&[u8]; 9] =
    [b"null", b"none", b"nil", b"true", b"false", b"undefined", b"<nil>", b"(null)", b"redacted"];
/// Longest value that is hidden as one.
const MAX_VALUE: usize = 16 << 10;

impl Word {
    /// The secret behind this word, which stands at `start..end`.
    pub(super) fn look(self, text: &[u8], start: usize, end: usize, runs: &mut Runs) -> Option<Find> {
        let closed = |at, rule| Some(Find { at, rule, is_open: false });
        match self {
            Self::Secret(rule) => {
                let (at, _) = value(text, start, end, runs)?;
                let secret = &text[at.clone()];
                // PWD is also the working directory, and Kubernetes names secrets as namespace/name
                let harmless = secret.starts_with(b"/") && text[start..end].eq_ignore_ascii_case(b"pwd")
                    || rule == "secret" && (secret.len() < 4 || is_object_name(secret));
                if harmless { None } else { closed(at, rule) }
            }
            Self::Likely(rule) => {
                let (at, _) = value(text, start, end, runs)?;
                if looks_random(&text[at.clone()]) { closed(at, rule) } else { None }
            }
            Self::Authorization => {
                authorization(text, start, end, runs).and_then(|at| closed(at, "authorization"))
            }
            Self::Bearer => {
                let from = end + text[end..].iter().take_while(|&&byte| byte == b' ').count();
                if from == end {
                    return None;
                }
                let at = from..from + token_length(&text[from..]);
                if looks_random(&text[at.clone()]) { closed(at, "token") } else { None }
            }
            Self::Prefix(prefix, rule, least) => {
                let before = start.checked_sub(1).is_some_and(|at| text[at].is_ascii_alphanumeric());
                if before || text[start..end] != *prefix.as_bytes() {
                    return None;
                }
                let length = runs.name.end(text, end) - end;
                // an AWS key id has one length
                if length >= least && (rule != "aws_key" || length == least) {
                    closed(start..end + length, rule)
                } else {
                    None
                }
            }
            Self::Jwt => jwt(text, start, runs).and_then(|at| closed(at, "jwt")),
            Self::Url => url(text, end).and_then(|at| closed(at, "password")),
            Self::Pem => pem(text, start),
        }
    }
}

/// `key = value`, `"key": "value"`, `--key value`: the value's place, and whether it is quoted.
fn value(text: &[u8], start: usize, end: usize, runs: &mut Runs) -> Option<(Range<usize>, bool)> {
    let mut at = end + count(&text[end..], b"\"'\\");
    let space = count(text.get(at..)?, b" \t");
    match text.get(at + space) {
        Some(b'=' | b':') => {
            at += space + 1;
            at += usize::from(text.get(at) == Some(&b'>'));
            at += count(&text[at..], b" \t").min(4);
        }
        // a flag and its value, as in a command line
        _ if space == 1 && is_flag(text, start) => at += 1,
        _ => return None,
    }
    let rest = text.get(at..)?;
    let quote_at = at + usize::from(rest.first() == Some(&b'\\'));
    let (at, is_quoted) = match text.get(quote_at) {
        Some(&quote @ (b'"' | b'\'')) => {
            let from = quote_at + 1;
            let escaped = quote_at > at;
            let to = from + closing(&text[from..], quote, escaped);
            (from..to, true)
        }
        _ => (at..runs.value.end(text, at).min(at + MAX_VALUE), false),
    };
    let secret = &text[at.clone()];
    let says_none =
        secret.starts_with(b"[redacted") || NOT_SECRET.iter().any(|none| secret.eq_ignore_ascii_case(none));
    let masked = secret.len() >= 3 && secret.iter().all(|&byte| byte == b'*' || byte == b'x' || byte == b'.');
    (!secret.is_empty() && !says_none && !masked).then_some((at, is_quoted))
}

/// Bytes before the closing quote (an escaped one, where the opening quote was escaped).
fn closing(text: &[u8], quote: u8, escaped: bool) -> usize {
    let mut at = 0;
    while at < text.len().min(MAX_VALUE) {
        match text[at] {
            b'\\' if escaped && text.get(at + 1) == Some(&quote) => return at,
            b'\\' => at += 2,
            byte if byte == quote => return at,
            _ => at += 1,
        }
    }
    at.min(text.len())
}

fn count(text: &[u8], of: &[u8]) -> usize {
    text.iter().take_while(|byte| of.contains(byte)).count()
}

/// Whether the word that holds `start` begins with a dash.
fn is_flag(text: &[u8], start: usize) -> bool {
    let word = text[..start].iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    text[word..].starts_with(b"-")
}

/// Eight characters and a digit among them, or twenty.
fn looks_random(secret: &[u8]) -> bool {
    secret.len() >= 20 || (secret.len() >= 8 && secret.iter().any(u8::is_ascii_digit))
}

/// `namespace/name`
fn is_object_name(secret: &[u8]) -> bool {
    let name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(byte);
    secret.iter().filter(|&&byte| byte == b'/').count() == 1 && secret.iter().all(name)
}

fn token_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(byte)).count()
}

fn authorization(text: &[u8], start: usize, end: usize, runs: &mut Runs) -> Option<Range<usize>> {
    let (at, is_quoted) = value(text, start, end, runs)?;
    let scheme = text[at.start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let behind = at.start + scheme;
    if text.get(behind) == Some(&b' ') && scheme <= 16 {
        let from = behind + 1;
        let to = if is_quoted { at.end.max(from) } else { from + token_length(&text[from..]) };
        return (to >= from + 4).then_some(from..to);
    }
    (at.len() >= 8).then_some(at)
}

fn jwt(text: &[u8], start: usize, runs: &mut Runs) -> Option<Range<usize>> {
    let before = start.checked_sub(1).is_some_and(|at| text[at].is_ascii_alphanumeric());
    if before || !text[start..].starts_with(b"eyJ") {
        return None;
    }
    let dot = runs.name.end(text, start);
    if dot < start + 10 || text.get(dot) != Some(&b'.') {
        return None;
    }
    let claims_at = dot + 1;
    let mut end = runs.claims.end(text, claims_at);
    if end < claims_at + 10 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = runs.claims.end(text, end + 1);
    }
    Some(start..end)
}

/// The password between `user:` and the last `@` before the host.
fn url(text: &[u8], from: usize) -> Option<Range<usize>> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>`".contains(byte);
    let authority = &text[from..from + text[from..].iter().take(1024).take_while(|byte| !ends(byte)).count()];
    let at_sign = memchr::memrchr(b'@', authority)?;
    let secret = match memchr::memchr(b':', &authority[..at_sign]) {
        Some(colon) => colon + 1..at_sign,
        // a token in the place of the user
        None if at_sign >= 20 => 0..at_sign,
        None => return None,
    };
    let range = from + secret.start..from + secret.end;
    let masked = range.len() >= 3 && text[range.clone()].iter().all(|&byte| byte == b'*' || byte == b'x');
    (!range.is_empty() && !masked).then_some(range)
}

fn pem(text: &[u8], start: usize) -> Option<Find> {
    let label = &text[start..text.len().min(start + 64)];
    memchr::memmem::find(label, b"PRIVATE KEY-----")?;
    let ending = memchr::memmem::find(&text[start..], b"-----END");
    let end = match ending {
        Some(at) => {
            let behind = start + at + 8;
            let close =
                memchr::memmem::find(&text[behind..], b"-----").map_or(text.len(), |at| behind + at + 5);
            close.min(text.len())
        }
        None => text.len(),
    };
    Some(Find { at: start..end, rule: "private_key", is_open: ending.is_none() })
}

/// Whether the line is the last of a private key.
pub(super) fn ends_key(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"-----END").is_some()
}

/// Whether the line, within a private key, belongs to it: base64, one of its headers, or empty.
pub(super) fn is_key_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    // what a logger put before each line is not looked at
    let word = &line[line.iter().rposition(|byte| *byte == b' ' || *byte == b'\t').map_or(0, |at| at + 1)..];
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\"\\,".contains(byte);
    let header = line.starts_with(b"Proc-Type:") || line.starts_with(b"DEK-Info:");
    line.is_empty() || header || (word.len() >= 4 && word.iter().all(base64))
}
