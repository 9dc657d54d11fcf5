//! Arguments of a process: as text, and by their neighbours, since a flag and its value are two arguments.
//!
//! A program counts wherever it stands, so that `sudo -u app mysql -psecret` and `sh -c 'mysql -psecret'` are hidden as
//! `mysql -psecret` is: an argument with spaces is looked at word by word as well.

use std::ops::Range;

use super::{RawText, Rules, redact};

const HIDDEN: &str = "[redacted:argument]";
/// Flags and variables whose value is secret are those whose names end in one of these.
const SECRET_NAMES: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "passin",
    "passout",
    "pwd",
    "pass",
    "secret",
    "token",
    "credentials",
    "api-key",
    "apikey",
    "access-key",
    "secret-key",
    "private-key",
];
/// Directories, not passwords.
const HARMLESS_NAMES: [&str; 2] = ["pwd", "oldpwd"];

/// Where a short flag's secret stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Right behind the flag.
    Attached,
    /// In the next argument.
    Next,
    /// In either place.
    Both,
}

/// Programs with a flag that takes a secret. `login` stands for the subcommand of those in `HAVE_LOGIN`.
const PROGRAMS: [(&[&str], &str, Value); 13] = [
    // with a space behind it, `-p` asks for the password
    (&["mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck"], "-p", Value::Attached),
    (&["mariadb", "mariadb-dump", "mariadb-admin", "7z", "7za", "7zr"], "-p", Value::Attached),
    (&["sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "cqlsh"], "-p", Value::Both),
    (&["login"], "-p", Value::Both),
    (&["curl"], "-u", Value::Both),
    (&["curl"], "-U", Value::Both),
    (&["curl"], "--user", Value::Next),
    (&["curl"], "--proxy-user", Value::Next),
    (&["redis-cli"], "-a", Value::Next),
    (&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami"], "-w", Value::Both),
    (&["sqlcmd", "bcp", "zip", "unzip", "mosquitto_pub", "mosquitto_sub"], "-P", Value::Both),
    (&["plink", "pscp", "psftp"], "-pw", Value::Next),
    (&["lftp"], "-u", Value::Both),
];
const HAVE_LOGIN: [&str; 8] = ["docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "az"];

/// The arguments as they may leave the node, the program itself being the first.
pub fn redact_arguments(arguments: &[RawText<'_>], rules: &Rules) -> Vec<String> {
    let mut line = Line::default();
    let mut redacted = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let secret = line.secret(argument.0);
        let inner = words(argument.0);
        redacted.push(if let Some(from) = secret {
            // the value may hold spaces, which end it in running text
            format!("{}{HIDDEN}", String::from_utf8_lossy(&argument.0[..from]))
        } else if inner.len() > 1 {
            redact(RawText::new(&without_secrets(argument.0, &inner)), rules).into_string()
        } else {
            redact(*argument, rules).into_string()
        });
    }
    redacted
}

/// What the arguments so far say of the next one.
#[derive(Default)]
struct Line<'a> {
    program: &'a str,
    hides_next: bool,
}

impl<'a> Line<'a> {
    /// From where on this argument is secret.
    fn secret(&mut self, argument: &'a [u8]) -> Option<usize> {
        let is_value = std::mem::take(&mut self.hides_next);
        // names are text, a secret need not be
        let text = std::str::from_utf8(argument)
            .or_else(|error| std::str::from_utf8(&argument[..error.valid_up_to()]));
        let text = text.unwrap_or_default();
        let name = text.rsplit('/').next().unwrap_or_default();
        if name == "login" && HAVE_LOGIN.contains(&self.program) {
            self.program = "login";
        } else if HAVE_LOGIN.contains(&name)
            || PROGRAMS.iter().any(|(of, ..)| *of != ["login"] && of.contains(&name))
        {
            self.program = name;
        }
        let (key, equals) = text.split_once('=').map_or((text, None), |(key, _)| (key, Some(key.len() + 1)));
        let is_secret = is_secret_name(key, equals.is_some());
        let (takes, attached) = self.short_flag(argument);
        self.hides_next = (is_secret && equals.is_none() && attached.is_none()) || takes;
        if is_value { Some(0) } else { equals.filter(|_| is_secret).or(attached) }
    }

    /// Whether the next argument is this one's secret; or where it begins in this one.
    fn short_flag(&self, argument: &[u8]) -> (bool, Option<usize>) {
        for (programs, flag, value) in PROGRAMS {
            if !programs.contains(&self.program) || !argument.starts_with(flag.as_bytes()) {
                continue;
            }
            if argument == flag.as_bytes() {
                return (value != Value::Attached, None);
            }
            if value != Value::Next {
                return (false, Some(flag.len()));
            }
        }
        (false, None)
    }
}

/// `--db-password`, `-token`; `DB_PASSWORD` where it is assigned to.
fn is_secret_name(key: &str, is_assigned: bool) -> bool {
    let is_flag = key.starts_with('-');
    let name = key.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let is_variable = is_assigned && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_harmless = !is_flag && HARMLESS_NAMES.contains(&name.as_str());
    (is_flag || is_variable)
        && !is_harmless
        && name.len() > 1
        && SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
}

/// Words as a shell sees them, roughly: quotes hold together, and do not belong to the word where it begins with one.
/// From a quote on that is never closed, an apostrophe, quotes are like other bytes.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at <= text.len() {
        let rest = text.get(at + 1..).unwrap_or_default();
        match text.get(at) {
            // what is escaped is part of the word
            Some(b'\\') => at += 1,
            Some(quote @ (b'"' | b'\'')) => at += memchr::memchr(*quote, rest).map_or(0, |length| length + 1),
            Some(byte) if !byte.is_ascii_whitespace() && !b";|&()`".contains(byte) => {}
            _ => {
                let end = at.min(text.len());
                let word = text.get(start..end).unwrap_or_default();
                let lead = word.iter().take_while(|byte| b"\"'".contains(byte)).count();
                if lead < word.len() {
                    words.push(start + lead..end);
                }
                start = end + 1;
            }
        }
        at += 1;
    }
    // an escape at the very end
    if start < text.len() {
        words.push(start..text.len());
    }
    words
}

/// The text of a command, with what its own arguments hide.
fn without_secrets(text: &[u8], words: &[Range<usize>]) -> Vec<u8> {
    let mut line = Line::default();
    let mut shown = Vec::with_capacity(text.len());
    let mut done = 0;
    for word in words {
        if let Some(from) = line.secret(&text[word.clone()]) {
            shown.extend_from_slice(&text[done..word.start + from]);
            shown.extend_from_slice(HIDDEN.as_bytes());
            done = word.end;
        }
    }
    shown.extend_from_slice(&text[done..]);
    shown
}
