//! Names of commands: those that Redis has, and words that look like names of a module's.

use super::reply::Value;

/// Commands whose second word is a part of the name.
const CONTAINERS: [&str; 18] = [
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE",
    "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO", "SENTINEL", "HOTKEYS",
];

/// Second words of those, so that nothing that a user wrote passes for one.
const SECOND: [&str; 74] = [
    "CAT",
    "DELUSER",
    "DRYRUN",
    "GENPASS",
    "GETUSER",
    "LIST",
    "LOAD",
    "LOG",
    "SAVE",
    "SETUSER",
    "USERS",
    "WHOAMI",
    "CACHING",
    "GETNAME",
    "GETREDIR",
    "ID",
    "INFO",
    "KILL",
    "NO-EVICT",
    "NO-TOUCH",
    "PAUSE",
    "REPLY",
    "SETINFO",
    "SETNAME",
    "TRACKING",
    "TRACKINGINFO",
    "UNBLOCK",
    "UNPAUSE",
    "ADDSLOTS",
    "BUMPEPOCH",
    "COUNTKEYSINSLOT",
    "DELSLOTS",
    "FAILOVER",
    "FLUSHSLOTS",
    "FORGET",
    "GETKEYSINSLOT",
    "KEYSLOT",
    "LINKS",
    "MEET",
    "MYID",
    "MYSHARDID",
    "NODES",
    "REPLICATE",
    "RESET",
    "SETSLOT",
    "SHARDS",
    "SLOTS",
    "COUNT",
    "DOCS",
    "GETKEYS",
    "GET",
    "SET",
    "REWRITE",
    "RESETSTAT",
    "DELETE",
    "DUMP",
    "FLUSH",
    "RESTORE",
    "STATS",
    "DOCTOR",
    "GRAPH",
    "HISTOGRAM",
    "HISTORY",
    "LATEST",
    "PURGE",
    "USAGE",
    "ENCODING",
    "FREQ",
    "IDLETIME",
    "REFCOUNT",
    "CREATE",
    "SETID",
    "EXISTS",
    "LEN",
];

/// The name of a command; none if it does not look like one.
pub(super) fn name(value: &Value) -> Option<String> {
    let command = word(value.words.first()?)?;
    // Inline commands are for people: any line without a sigil would pass for one.
    if value.kind.is_none() && !INLINE.contains(&command.as_str()) {
        return None;
    }
    if value.kind.is_some_and(|kind| kind != b'*') {
        return None;
    }
    let second = value.words.get(1).and_then(|second| word(second));
    match second.filter(|second| CONTAINERS.contains(&command.as_str()) && SECOND.contains(&second.as_str()))
    {
        Some(second) => Some(format!("{command} {second}")),
        None => Some(command),
    }
}

/// What `CLIENT REPLY` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    /// None to the next command.
    Skip,
}

/// Whether a command says which answers it wants.
pub(super) fn replies(value: &Value) -> Option<Replies> {
    let [first, second, third] = value.words.as_slice() else { return None };
    if !first.eq_ignore_ascii_case(b"CLIENT") || !second.eq_ignore_ascii_case(b"REPLY") {
        return None;
    }
    match third.to_ascii_uppercase().as_slice() {
        b"ON" => Some(Replies::On),
        b"OFF" => Some(Replies::Off),
        b"SKIP" => Some(Replies::Skip),
        _ => None,
    }
}

/// What is sent inline by tools, health checks and people.
const INLINE: [&str; 16] = [
    "PING", "QUIT", "INFO", "GET", "SET", "DEL", "INCR", "EXISTS", "TTL", "KEYS", "DBSIZE", "MONITOR",
    "ECHO", "AUTH", "CONFIG", "COMMAND",
];

fn word(bytes: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphabetic() || b"._-".contains(byte);
    if bytes.is_empty() || bytes.len() > 32 || !bytes.iter().all(plain) {
        return None;
    }
    Some(String::from_utf8_lossy(bytes).to_ascii_uppercase())
}
