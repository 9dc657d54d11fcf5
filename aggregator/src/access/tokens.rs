//! A file of tokens: each has a holder and namespaces, or is an operator's. Read again when it changes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use daemon::clock::Clock;
use daemon::config::{Config, ConfigError, ConfigErrors};
use daemon::log::Repeated;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Scope;

use crate::access::digest::{self, Digest, hex, sha256};
use crate::access::{Caller, Denied, Token};

/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is logged that it cannot be read.
const LINE: Duration = Duration::from_secs(60);
/// The fewest letters of a token: fewer can be guessed.
const LEAST: usize = 16;
/// The most tokens of a file.
const MOST: usize = 10_000;

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Version of this file's format.
    version: u32,
    /// Who may ask.
    tokens: Vec<Holder>,
}

/// One token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Holder {
    /// Whose it is, for the audit log.
    name: String,
    /// The token, at least 16 letters long.
    token: String,
    /// Instead of the token its SHA-256, in hexadecimal digits.
    sha256: String,
    /// The namespaces whose rows its holder sees.
    namespaces: Vec<String>,
    /// Whether its holder sees everything, and may do what concerns everything.
    operator: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self { version: 1, tokens: Vec::new() }
    }
}

impl Config for Written {
    // of no variable: a token in the environment is seen by others
    const ENV_PREFIX: &'static str = "WAKE_TOKENS";

    fn problems(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        if self.tokens.len() > MOST {
            found.push(ConfigError::new("tokens", format!("are {}; at most {MOST}", self.tokens.len())));
        }
        let mut seen = BTreeMap::new();
        for (at, holder) in self.tokens.iter().enumerate() {
            let mut mistake = |key: &str, what: &str| {
                found.push(ConfigError::new(format!("tokens[{at}].{key}"), what));
            };
            if holder.name.is_empty() {
                mistake("name", "is empty");
            }
            if holder.token.is_empty() == holder.sha256.is_empty() {
                mistake("token", "give either token or sha256");
            } else if !holder.token.is_empty() && holder.token.len() < LEAST {
                mistake("token", "is shorter than 16 letters");
            } else if !holder.sha256.is_empty() && !is_digest(&holder.sha256) {
                mistake("sha256", "is not 64 hexadecimal digits");
            }
            if holder.operator != holder.namespaces.is_empty() {
                mistake("namespaces", "give either namespaces or operator: true");
            }
            if seen.insert(holder.digest(), at).is_some() {
                mistake("token", "is there twice");
            }
        }
        found
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Holder {
    fn digest(&self) -> String {
        match self.token.is_empty() {
            true => self.sha256.to_ascii_lowercase(),
            false => hex(&sha256(self.token.as_bytes())),
        }
    }

    fn caller(&self) -> Caller {
        let scope = match self.operator {
            true => Scope::All,
            false => Scope::namespaces(self.namespaces.iter().map(String::as_str)),
        };
        Caller::new(self.name.clone(), Vec::new(), scope)
    }
}

/// The file's tokens; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Clock,
    known: Mutex<Known>,
    lines: Repeated,
}

#[derive(Debug)]
struct Known {
    callers: HashMap<String, Caller>,
    /// Of the file that was read last.
    version: Option<Version>,
    look_at: Duration,
}

/// What changes with the file: a Secret's file is a link that is turned.
type Version = (SystemTime, u64, u64);

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(crate) fn open(path: &Path, clock: Clock) -> Result<Self, ConfigErrors> {
        let version = version(path);
        let callers = read(path)?;
        let known = Known { callers, version, look_at: clock.monotonic() + LOOK };
        let lines = Repeated::new(clock.clone(), LINE);
        Ok(Self(Arc::new(Shared { path: path.to_owned(), clock, known: Mutex::new(known), lines })))
    }

    /// Whose token this is. Compared by its hash, so that the time it takes says nothing of how much of it was right.
    pub(crate) fn caller(&self, token: &Token) -> Result<Caller, Denied> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut known);
        let digest: Digest = digest::of(token);
        let caller = known.callers.get(&hex(&digest)).cloned();
        caller.ok_or_else(|| Denied::Invalid(String::from("the token file does not have it")))
    }

    /// A file that cannot be read leaves what was read before, and is tried again.
    fn refresh(&self, known: &mut Known) {
        let now = self.0.clock.monotonic();
        if now < known.look_at {
            return;
        }
        known.look_at = now + LOOK;
        let found = version(&self.0.path);
        if found == known.version {
            return;
        }
        match read(&self.0.path) {
            Ok(callers) => {
                tracing::info!(file = %self.0.path.display(), tokens = callers.len(), "token file read again");
                known.callers = callers;
                known.version = found;
            }
            Err(error) => {
                if let Some(held_back) = self.0.lines.permit() {
                    tracing::error!(%error, held_back, "token file not read, the tokens of before hold");
                }
            }
        }
    }
}

fn version(path: &Path) -> Option<Version> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn read(path: &Path) -> Result<HashMap<String, Caller>, ConfigErrors> {
    let written = daemon::config::load::<Written>(Some(path), &BTreeMap::new())?;
    Ok(written.tokens.iter().map(|holder| (holder.digest(), holder.caller())).collect())
}

#[cfg(test)]
mod tests;
