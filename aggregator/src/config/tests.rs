use std::collections::BTreeMap;

use store::{Limits, Table};

use super::{Config, Profile};

fn read(text: &str) -> Result<Config, daemon::config::ConfigErrors> {
    daemon::config::parse(text, "aggregator.yaml", &BTreeMap::new())
}

#[test]
fn the_example_is_the_default() {
    assert_eq!(read(&daemon::config::example::<Config>()).unwrap(), Config::default());
}

#[test]
fn defaults_are_the_stores_own() {
    assert_eq!(Config::default().limits(), Limits::default());
}

#[test]
fn every_mistake_is_named_at_once_by_its_path() {
    let text = "version: 1\napi: {listen: nowhere}\nstore: {retention_mib: {logs: 5}, disk_drop_percent: 97}\n\
                query: {default_log_lines: 6000}\n";
    let errors = read(text).unwrap_err();
    let paths: Vec<_> = errors.0.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        ["api.listen", "store.disk_drop_percent", "store.retention_mib.logs", "query.default_log_lines"]
    );
}

#[test]
fn unknown_keys_and_versions_are_refused() {
    assert!(read("version: 2\n").unwrap_err().to_string().contains("version"));
    assert!(read("version: 1\ningest: {port: 5}\n").unwrap_err().to_string().contains("ingest.port"));
}

#[test]
fn what_the_file_says_reaches_the_store() {
    let config =
        read("version: 1\nstore: {profile: small, retention_days: {log: 2}, retention_mib: {log: 3}}\n")
            .unwrap();
    assert_eq!(config.store.profile, Profile::Small);
    let limits = config.limits();
    assert_eq!(limits.head_bytes, Limits::small().head_bytes);
    assert_eq!(
        (limits.retention(Table::Log).age_s, limits.retention(Table::Log).max_bytes),
        (172_800, 3 << 20)
    );
    assert_eq!(config.query_memory_bytes(2), 64 << 20);
}

#[test]
fn the_log_has_a_share_of_a_limited_disk() {
    let limits = read("version: 1\nstore: {max_disk_mib: 1024}\n").unwrap().limits();
    assert_eq!((limits.wal_soft_bytes, limits.wal_hard_bytes), (128 << 20, 256 << 20));
    assert!(limits.wal_file_bytes <= 32 << 20);
    let errors = read("version: 1\nstore: {max_disk_mib: 1024, wal_hard_mib: 600}\n").unwrap_err();
    assert!(errors.to_string().contains("store.wal_hard_mib"), "{errors}");
}

#[test]
fn an_open_door_is_a_mistake() {
    let paths = |text: &str| -> Vec<String> {
        read(text)
            .err()
            .map(|errors| errors.0.into_iter().map(|error| error.path).collect())
            .unwrap_or_default()
    };
    let open = "version: 1\ningest: {listen: '0.0.0.0:9400'}\napi: {listen: '[::]:9401'}\n";
    assert_eq!(paths(open), ["ingest.listen", "api.listen"]);
    let issued = format!("{open}tls: {{mode: issued, ca_dir: /ca}}\n");
    assert_eq!(paths(&issued), ["api.listen"], "TLS alone says nothing of who asks");
    let whole = format!("{issued}auth: {{mode: kubernetes}}\n");
    assert_eq!(paths(&whole), [""; 0]);
    assert_eq!(
        paths("version: 1\ntls: {mode: files}\nauth: {mode: tokens}\n"),
        ["tls.certificate", "tls.key", "tls.client_ca", "auth.token_file"]
    );
    assert_eq!(paths("version: 1\ntls: {mode: issued}\n"), ["tls.ca_secret"]);
    assert_eq!(
        paths("version: 1\ntls: {mode: issued, ca_secret: wake, enrol_service_accounts: [a/b/c]}\n"),
        ["tls.ca_secret", "tls.enrol_service_accounts"]
    );
}
