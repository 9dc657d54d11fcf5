use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, ConfigErrors, example, parse, reference};

/// A fleet of boats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Fleet {
    /// Of the format.
    version: u32,
    /// Who sails: a sentence that is so long that the example has to break it over two lines, as people do when they write by hand.
    node: String,
    /// The harbour.
    harbour: Harbour,
    /// By name.
    boats: BTreeMap<String, Boat>,
    /// Where to go.
    routes: Vec<String>,
    /// Nobody has to.
    captain: Option<String>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            version: 1,
            node: "1e3".into(),
            harbour: Harbour::default(),
            boats: BTreeMap::new(),
            routes: vec!["/var/log/*.log".into(), "off".into()],
            captain: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Harbour {
    /// Places, 1 to 60.
    #[schemars(range(min = 1, max = 60))]
    places: u32,
    /// How full.
    full: WhenFull,
}

impl Default for Harbour {
    fn default() -> Self {
        Self { places: 10, full: WhenFull::Block }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhenFull {
    /// Wait outside.
    Block,
    /// Turn away.
    DropNewest,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Boat {
    /// Whether it sails.
    enabled: bool,
}

impl Config for Fleet {
    const ENV_PREFIX: &'static str = "FLEET";

    fn problems(&self) -> Vec<ConfigError> {
        let is_lost = self.harbour.places == 13;
        if is_lost { vec![ConfigError::new("harbour.places", "nobody moors at 13")] } else { Vec::new() }
    }
}

fn read(text: &str) -> Result<Fleet, ConfigErrors> {
    parse(text, "fleet.yaml", &BTreeMap::new())
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let errors = read(text).expect_err("a mistake");
    let mut lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(lines, expected);
}

#[test]
fn nothing_at_all_is_the_default() {
    assert_eq!(read("").unwrap(), Fleet::default());
    assert_eq!(read("version: 1\nharbour:\n").unwrap(), Fleet::default());
}

#[test]
fn the_example_reads_as_the_default() {
    let text = example::<Fleet>();
    assert_eq!(read(&text).unwrap(), Fleet::default(), "{text}");
    assert!(text.contains("# captain:"), "{text}");
    assert!(text.contains("  # Places, 1 to 60.\n  places: 10\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 115), "{text}");
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_paths() {
    check(
        "version: 1\nnode: [1]\nharbor: {}\nharbour: {places: 61, full: never}\nboats: {x: {enabled: maybe}}\nroutes: [1]\n",
        &[
            "boats.x.enabled: expected boolean, got \"maybe\"",
            "harbor: unknown key; known here: version, node, harbour, boats, routes, captain",
            "harbour.full: expected one of block, drop_newest, got \"never\"",
            "harbour.places: must be at most 60, got 61",
            "node: expected string, got a list",
            "routes[0]: expected string, got 1",
        ],
    );
    check("version: 1\nharbour: {places: 13}\n", &["harbour.places: nobody moors at 13"]);
}

#[test]
fn another_version_is_refused() {
    check("version: 2\n", &["version: this build reads version 1, the file says 2"]);
    check("node: a\n", &["version: missing; write `version: 1`"]);
}

#[test]
fn what_is_no_yaml_names_the_file() {
    let errors = read("a: [").expect_err("no YAML");
    assert_eq!(errors.0[0].path, "fleet.yaml");
}

#[test]
fn the_environment_overrides_and_is_checked_too() {
    let env =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let text = "version: 1\nharbour: {places: 3}\n";
    let set = env(&[
        ("FLEET__HARBOUR__PLACES", "4"),
        ("FLEET__NODE", "12"),
        ("FLEET__BOATS__A__ENABLED", "true"),
        ("PATH", "/"),
    ]);
    let fleet: Fleet = parse(text, "fleet.yaml", &set).unwrap();
    assert_eq!((fleet.harbour.places, fleet.node.as_str(), fleet.boats["a"].enabled), (4, "12", true));
    let wrong = env(&[("FLEET__HARBOUR__PLACE", "4"), ("FLEET__HARBOUR__PLACES", "many")]);
    let errors = parse::<Fleet>(text, "fleet.yaml", &wrong).expect_err("two mistakes");
    assert_eq!(errors.0.len(), 2, "{errors}");
}

#[test]
fn the_reference_has_a_row_per_key() {
    let text = reference::<Fleet>();
    assert!(text.contains("| `harbour.full` | `block` \\| `drop_newest` | `\"block\"` | `FLEET__HARBOUR__FULL` | How full. |"), "{text}");
    assert!(text.contains("| `routes` | list of string |"), "{text}");
}
