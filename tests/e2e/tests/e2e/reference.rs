//! What `docs/reference` says is what the programs say.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fleet::program;

#[track_caller]
fn check(file: &str, name: &str, flag: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    let written = fs::read_to_string(&path).unwrap_or_default();
    let output = Command::new(program(name)).env_remove("WAKE_SERVER").arg(flag).output().unwrap();
    assert!(output.status.success(), "{name} {flag}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        written.contains(said.trim_end()),
        "docs/reference/{file} is not what `{name} {flag}` prints; mend with: cargo xtask docs"
    );
}

#[test]
fn the_reference_is_what_the_programs_print() {
    check("cli.md", "wake", "reference");
    check("openapi.json", "wake-aggregator", "--print-openapi");
    check("config.md", "wake-agent", "--print-config-reference");
    check("config.md", "wake-aggregator", "--print-config-reference");
    check("agent.yaml", "wake-agent", "--print-example-config");
    check("aggregator.yaml", "wake-aggregator", "--print-example-config");
    check("metrics.md", "wake-agent", "--print-metrics-reference");
    check("metrics.md", "wake-aggregator", "--print-metrics-reference");
    check("tables.md", "wake-aggregator", "--print-tables-reference");
}
