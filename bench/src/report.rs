//! Figures: printed as they come, kept for `--json FILE`.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::machine::Machine;

#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Map<String, Value>,
}

impl Report {
    /// Prints and keeps one figure; the name carries its unit.
    pub(crate) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match value.as_f64() {
            Some(number) if value.is_f64() => println!("  {name:<52} {number:>14.3}"),
            _ => println!("  {name:<52} {value:>14}"),
        }
        self.figures.insert(name.to_owned(), value);
    }

    /// Writes everything to the file, if one was asked for.
    pub(crate) fn write(&self, file: Option<&Path>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let whole = json!({ "machine": Machine::read(), "figures": self.figures });
        std::fs::write(file, serde_json::to_string_pretty(&whole)?)
            .with_context(|| format!("write {}", file.display()))
    }
}
