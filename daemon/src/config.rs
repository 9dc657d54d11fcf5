//! The one YAML file of a binary: versioned, unknown keys refused, every mistake reported at once with its key path.
//!
//! Flow: file → environment overrides → `check` against the type's own schema → the type → its own `problems`.
//! The annotated example and the reference are generated from the same schema (`example`, `reference`).

mod check;
mod document;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use document::{example, reference};

#[cfg(test)]
mod tests;

/// The exit code of a binary whose config is wrong.
pub const EXIT_CONFIG: u8 = 64;

/// A binary's config: its doc comments are the reference, its `Default` is what holds without a file.
///
/// Derive `Deserialize` with `#[serde(default, deny_unknown_fields)]` on every struct, and `Serialize`, `JsonSchema`,
/// `Default`. The root has a field `version: u32`.
pub trait Config: DeserializeOwned + Serialize + JsonSchema + Default {
    /// The version of the format that this build reads.
    const VERSION: u32 = 1;
    /// Environment variables of this prefix override the file: `PREFIX__SPOOL__MAX_BYTES` is `spool.max_bytes`.
    const ENV_PREFIX: &'static str;

    /// What the schema cannot say: fields that contradict each other, addresses that do not parse.
    fn problems(&self) -> Vec<ConfigError> {
        Vec::new()
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The key path, e.g. `spool.max_bytes`; the file's name for what concerns all of it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ConfigError {
    /// A mistake at a key path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Every mistake of a config; prints one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(formatter, "config has {} {noun}", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(formatter, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The process's environment, as `load` takes it.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the file (the defaults without one) and the overrides.
///
/// # Errors
/// Every mistake at once: exit with `EXIT_CONFIG`.
pub fn load<T: Config>(path: Option<&Path>, env: &BTreeMap<String, String>) -> Result<T, ConfigErrors> {
    let Some(path) = path else {
        return parse("", "defaults", env);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigErrors(vec![ConfigError::new(path.display().to_string(), error.to_string())])
    })?;
    parse(&text, &path.display().to_string(), env)
}

/// Parses the text of a config file; `name` is the file's, for messages.
///
/// # Errors
/// Every mistake at once.
pub fn parse<T: Config>(text: &str, name: &str, env: &BTreeMap<String, String>) -> Result<T, ConfigErrors> {
    let schema = schemars::schema_for!(T).to_value();
    let mut errors = Vec::new();
    let mut value = read_yaml(text, name, &mut errors);
    if errors.is_empty() && !text.trim().is_empty() {
        check_version::<T>(&value, &mut errors);
    }
    check::prune_nulls(&mut value, &schema, &schema);
    apply_environment::<T>(&mut value, &schema, env, &mut errors);
    check::check(&value, &schema, &schema, "", &mut errors);
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let config: T = serde_json::from_value(value)
        .map_err(|error| ConfigErrors(vec![ConfigError::new(name, error.to_string())]))?;
    let problems = config.problems();
    if problems.is_empty() { Ok(config) } else { Err(ConfigErrors(problems)) }
}

fn read_yaml(text: &str, name: &str, errors: &mut Vec<ConfigError>) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Null) => Value::Object(Map::new()),
        Ok(value) => value,
        Err(error) => {
            errors.push(ConfigError::new(name, error.to_string()));
            Value::Object(Map::new())
        }
    }
}

fn check_version<T: Config>(value: &Value, errors: &mut Vec<ConfigError>) {
    match value.get("version") {
        Some(version) if version.as_u64() == Some(u64::from(T::VERSION)) => {}
        Some(version) => errors.push(ConfigError::new(
            "version",
            format!("this build reads version {}, the file says {version}", T::VERSION),
        )),
        None => errors.push(ConfigError::new("version", format!("missing; write `version: {}`", T::VERSION))),
    }
}

fn apply_environment<T: Config>(
    value: &mut Value,
    schema: &Value,
    env: &BTreeMap<String, String>,
    errors: &mut Vec<ConfigError>,
) {
    let prefix = format!("{}__", T::ENV_PREFIX);
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let parsed = if check::is_text(schema, &path) {
            Value::String(text.clone())
        } else {
            match serde_saphyr::from_str::<Value>(text) {
                Ok(parsed) => parsed,
                Err(error) => {
                    errors.push(ConfigError::new(name, error.to_string()));
                    continue;
                }
            }
        };
        let mut at = &mut *value;
        for key in &path {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = match at {
                Value::Object(map) => map.entry(key.clone()).or_insert(Value::Null),
                other => other,
            };
        }
        *at = parsed;
    }
}
