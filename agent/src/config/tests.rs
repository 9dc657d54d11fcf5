use std::collections::BTreeMap;

use daemon::config::{example, parse};

use super::AgentConfig;
use crate::kernel::TlsMode;

#[test]
fn the_example_is_the_default() {
    let text = example::<AgentConfig>();
    let read: AgentConfig = parse(&text, "example", &BTreeMap::new()).unwrap();
    assert_eq!(read, AgentConfig::default(), "{text}");
}

#[test]
fn mistakes_the_schema_cannot_see_are_found() {
    let text = "version: 1\nadmin: {listen: here}\nexport: {endpoint: 'ftp://x'}\nstate_dir: a\nlogs: {globs: [b]}\n";
    let errors = parse::<AgentConfig>(text, "agent.yaml", &BTreeMap::new()).expect_err("four mistakes");
    let mut paths: Vec<_> = errors.0.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["admin.listen", "export.endpoint", "logs.globs[0]", "state_dir"]);
}

#[test]
fn a_switched_off_probe_is_named_in_the_settings() {
    let text = "version: 1\nprobes: {block: {enabled: false}, syscalls: {latency: full}}\n";
    let config: AgentConfig = parse(text, "agent.yaml", &BTreeMap::new()).unwrap();
    assert_eq!(config.settings().disabled, ["block"]);
    assert!(config.settings().syscall_latency_full);
    let text = "version: 1\nprobes: {requests: {enabled: false}}\n";
    let config: AgentConfig = parse(text, "agent.yaml", &BTreeMap::new()).unwrap();
    assert_eq!(config.settings().disabled, ["requests"]);
    let config: AgentConfig = parse("version: 1\n", "agent.yaml", &BTreeMap::new()).unwrap();
    assert_eq!(config.settings().disabled, [""; 0]);
    assert_eq!(config.settings().tls, TlsMode::Auto);
    for (word, mode, disabled) in [("always", TlsMode::On, ""), ("never", TlsMode::Off, "tls")] {
        let text = format!("version: 1\nprobes: {{tls: {{mode: {word}}}}}\n");
        let config: AgentConfig = parse(&text, "agent.yaml", &BTreeMap::new()).unwrap();
        assert_eq!((config.settings().tls, config.settings().disabled.concat().as_str()), (mode, disabled));
    }
}

#[test]
fn plain_text_stays_on_loopback() {
    let paths = |text: &str| -> Vec<String> {
        let read = parse::<AgentConfig>(&format!("version: 1\n{text}"), "agent.yaml", &BTreeMap::new());
        read.err().map(|errors| errors.0.into_iter().map(|error| error.path).collect()).unwrap_or_default()
    };
    for endpoint in ["http://localhost:9400", "http://127.0.0.2:1", "http://[::1]:9400"] {
        assert_eq!(paths(&format!("export: {{endpoint: '{endpoint}'}}\n")), [""; 0], "{endpoint}");
    }
    for endpoint in ["http://wake.wake:9400", "http://10.0.0.1:9400", "https://localhost:9400"] {
        assert_eq!(
            paths(&format!("export: {{endpoint: '{endpoint}'}}\n")),
            ["export.endpoint"],
            "{endpoint}"
        );
    }
    let far = "export: {endpoint: 'https://wake:9400'}\n";
    assert_eq!(paths(&format!("{far}tls: {{mode: enrol, ca: /ca.crt}}\n")), [""; 0]);
    assert_eq!(paths(&format!("{far}tls: {{mode: files, ca: /ca.crt}}\n")), ["tls.certificate", "tls.key"]);
}
