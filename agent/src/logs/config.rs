//! The `logs` section of `agent.yaml`.

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which logs are followed, and what is taken out of them before they leave the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// Whether log files and the journal are read at all.
    pub enabled: bool,
    /// Files to follow: absolute paths with `*`, `?` and `[..]` inside a path component.
    pub globs: Vec<String>,
    /// More files to follow, whose lines belong to a workload named here instead of to the process that writes them.
    pub workloads: Vec<WorkloadGlob>,
    /// Files of container runtimes (CRI and docker's json-file), whose lines carry time and stream.
    pub containers: Vec<String>,
    /// Files that are never followed, in the same form as `globs`.
    pub exclude: Vec<String>,
    /// Where reading starts in the files found at the first start. Files that appear later, and after a restart those
    /// read before, lose no line either way.
    pub from: From,
    /// The systemd journal, read by `journalctl --follow`.
    pub journal: JournalConfig,
    /// Whether lines that belong together (traces, indented lines) become one record.
    pub multiline: MultilineConfig,
    /// Whether annotations of pods (`wake.dev/logs` and others) say which of their logs are read, and how. Where not,
    /// they change nothing and no log waits for them.
    pub annotations: bool,
    /// Logs of pods of which nothing was told yet, so that what their annotations say is not known.
    pub unknown_pods: UnknownPods,
    /// Rules for secrets besides the built-in ones (tokens, passwords, private keys, card numbers).
    pub redact: Vec<RedactRule>,
    /// Most files that are followed at once; each costs one file descriptor. More are left unread, counted and named
    /// in the probe's state.
    pub max_files: usize,
    /// Most lines per second of one file or journal unit; what is beyond is dropped and counted as lost. 0: no limit
    /// (a file that grows faster than it can be sent then waits on disk).
    pub max_lines_per_second: u32,
}

/// A glob with a workload of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadGlob {
    /// Absolute path with `*`, `?` and `[..]` inside a path component.
    pub glob: String,
    /// The workload's name in every row.
    pub workload: String,
}

/// Where a file found at the first start is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Only what is written from now on.
    #[default]
    End,
    /// All that is in it.
    Beginning,
}

/// Logs of pods of which nothing was told yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnknownPods {
    /// Seconds that the log of such a pod waits in its file, so that no line of a pod that wants none to be read leaves
    /// the node. Where the aggregator watches no Kubernetes, or there is none (`export.kind: otlp`), no log waits.
    #[schemars(range(max = 3600))]
    pub wait_s: u32,
    /// What happens then.
    pub then: Then,
}

/// What happens with a log whose pod is still not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is read, until something is told.
    #[default]
    Read,
    /// Its lines are passed over and counted as lost (`unknown_pod`).
    Drop,
}

/// The systemd journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Whether it is read where it exists.
    pub enabled: bool,
    /// The program that exports it.
    pub journalctl: String,
}

/// Where lines are joined to records: stack traces of Java, Python, Go, Rust and others, and lines that are indented
/// below another. A record is at most 4,096 lines or 1 MiB, and goes out when its log was quiet for half a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultilineConfig {
    /// In the logs of containers (`containers`).
    pub containers: bool,
    /// In other files (`globs` and `workloads`).
    pub files: bool,
    /// In those files instead of the rules: a regular expression (Rust `regex` syntax, on bytes) that the first line of
    /// a record matches and no other line does.
    pub files_first_line: String,
}

/// One rule of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// Stands in the text in place of the secret: `[redacted:<name>]`. Letters, digits, `-` and `_`.
    pub name: String,
    /// A regular expression (Rust `regex` syntax, on bytes). With a group `(?<secret>..)` only that part is replaced.
    pub pattern: String,
}

impl Default for LogsConfig {
    fn default() -> Self {
        let owned = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        Self {
            enabled: true,
            globs: owned(&["/var/log/*.log", "/var/log/*/*.log", "/var/log/syslog", "/var/log/messages"]),
            workloads: Vec::new(),
            containers: owned(&["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log"]),
            exclude: Vec::new(),
            from: From::End,
            journal: JournalConfig::default(),
            multiline: MultilineConfig::default(),
            annotations: true,
            unknown_pods: UnknownPods::default(),
            redact: Vec::new(),
            max_files: 1024,
            max_lines_per_second: 0,
        }
    }
}

impl Default for MultilineConfig {
    fn default() -> Self {
        Self { containers: true, files: false, files_first_line: String::new() }
    }
}

impl Default for UnknownPods {
    fn default() -> Self {
        Self { wait_s: 60, then: Then::Read }
    }
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { enabled: true, journalctl: "journalctl".to_owned() }
    }
}

impl LogsConfig {
    /// What the schema cannot say; `path` is the key path of this section.
    pub fn problems(&self, path: &str) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let lists = [("globs", &self.globs), ("containers", &self.containers), ("exclude", &self.exclude)];
        for (key, globs) in lists {
            for (index, glob) in globs.iter().enumerate() {
                check_glob(glob, &format!("{path}.{key}[{index}]"), &mut found);
            }
        }
        for (index, named) in self.workloads.iter().enumerate() {
            check_glob(&named.glob, &format!("{path}.workloads[{index}].glob"), &mut found);
            if named.workload.is_empty() {
                found.push(ConfigError::new(format!("{path}.workloads[{index}].workload"), "is empty"));
            }
        }
        for (index, rule) in self.redact.iter().enumerate() {
            if let Err(error) = regex::bytes::Regex::new(&rule.pattern) {
                found.push(ConfigError::new(format!("{path}.redact[{index}].pattern"), error.to_string()));
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if rule.name.is_empty() || !rule.name.bytes().all(plain) {
                let message = "must be letters, digits, '-' and '_'";
                found.push(ConfigError::new(format!("{path}.redact[{index}].name"), message));
            }
        }
        if let Err(error) = regex::bytes::Regex::new(&self.multiline.files_first_line) {
            found.push(ConfigError::new(format!("{path}.multiline.files_first_line"), error.to_string()));
        }
        if self.max_files == 0 {
            found.push(ConfigError::new(
                format!("{path}.max_files"),
                "must be at least 1; `enabled: false` reads none",
            ));
        }
        found
    }
}

fn check_glob(glob: &str, path: &str, found: &mut Vec<ConfigError>) {
    if !glob.starts_with('/') {
        found.push(ConfigError::new(path, format!("'{glob}' is not an absolute path")));
    }
    if glob.contains("**") {
        found.push(ConfigError::new(
            path,
            format!("'{glob}': '**' is not supported, name the depth with '*/*'"),
        ));
    }
}
