//! Arguments of a process: as text, and by their neighbours, since a flag and its value are two arguments.

use super::{RawText, Rules, redact};

const HIDDEN: &str = "[redacted:argument]";
/// Flags whose value is secret are those whose names end in one of these.
const SECRET_FLAGS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "api-key",
    "apikey",
    "access-key",
    "secret-key",
    "private-key",
];

/// The arguments as they may leave the node, the program itself being the first.
pub fn redact_arguments(arguments: &[RawText<'_>], rules: &Rules) -> Vec<String> {
    let program = arguments.first().map_or(&[][..], |first| first.0);
    let program = &program[memchr::memrchr(b'/', program).map_or(0, |at| at + 1)..];
    let mut hides_next = false;
    let mut redacted = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let is_value = hides_next && !argument.0.starts_with(b"-");
        hides_next = is_secret_flag(argument.0) || takes_secret(program, argument.0);
        let assigned = memchr::memchr(b'=', argument.0).filter(|&at| is_secret_flag(&argument.0[..at]));
        redacted.push(match (assigned, attached(program, argument.0)) {
            _ if is_value => HIDDEN.to_owned(),
            // the value may hold spaces, which end it in running text
            (Some(at), _) => format!("{}={HIDDEN}", String::from_utf8_lossy(&argument.0[..at])),
            (None, Some(flag)) => format!("{flag}{HIDDEN}"),
            (None, None) => redact(*argument, rules).into_string(),
        });
    }
    redacted
}

fn is_secret_flag(argument: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(argument) else { return false };
    let name = text.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    text.starts_with('-') && name.len() > 1 && SECRET_FLAGS.iter().any(|secret| name.ends_with(secret))
}

/// Programs whose short flag takes a secret as the next argument.
fn takes_secret(program: &[u8], argument: &[u8]) -> bool {
    match program {
        b"sshpass" => argument == b"-p",
        b"curl" => argument == b"-u" || argument == b"--user",
        _ => false,
    }
}

/// Programs whose short flag has the secret attached.
fn attached(program: &[u8], argument: &[u8]) -> Option<&'static str> {
    let flag: &'static str = match program {
        b"mysql" | b"mysqldump" | b"mysqladmin" | b"mariadb" | b"mariadb-dump" | b"sshpass" => "-p",
        b"curl" => "-u",
        _ => return None,
    };
    (argument.len() > 2 && argument.starts_with(flag.as_bytes())).then_some(flag)
}
