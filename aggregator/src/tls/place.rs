//! Where the CA is kept: a directory of this host, or a Secret. Made when it is missing; of two aggregators that make it
//! at the same time one wins, and both use its.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

use super::ca::{Ca, Kept, make};
use crate::config::security::{TlsConfig, split};

/// The CA of this config.
pub(super) async fn ca(config: &TlsConfig, client: Option<&kube::Client>, now_s: i64) -> anyhow::Result<Ca> {
    let life_s = seconds(config.lifetime_h);
    let Some((namespace, name)) = split(&config.ca_secret) else {
        let kept = in_directory(&config.ca_dir, now_s)?;
        return Ok(Ca::new(&kept, life_s)?);
    };
    let client = client.cloned().context("reach the Kubernetes API server")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let kept = in_secret(&secrets, name, now_s).await?;
    let ca = Ca::new(&kept, life_s).with_context(|| format!("use the Secret {}", config.ca_secret))?;
    if let Some((namespace, name)) = split(&config.ca_config_map) {
        let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
        publish(&maps, name, ca.pem()).await?;
    }
    Ok(ca)
}

/// Whole seconds of so many hours; the config's bounds keep both small.
fn seconds(hours: f64) -> i64 {
    Duration::try_from_secs_f64(hours * 3_600.0)
        .map_or(0, |life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
}

fn in_directory(dir: &Path, now_s: i64) -> anyhow::Result<Kept> {
    let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
    let read = |path: &PathBuf| fs::read_to_string(path);
    match (read(&certificate), read(&key)) {
        (Ok(certificates), Ok(key)) => return Ok(Kept { certificates, key }),
        (Err(a), Err(b)) if a.kind() == io::ErrorKind::NotFound && b.kind() == io::ErrorKind::NotFound => {}
        (Err(error), _) => return Err(error).with_context(|| format!("read {}", certificate.display())),
        (_, Err(error)) => return Err(error).with_context(|| format!("read {}", key.display())),
    }
    daemon::private::directory(dir).with_context(|| format!("make {}", dir.display()))?;
    let made = make(now_s)?;
    write(&key, &made.key, 0o600)?;
    write(&certificate, &made.certificates, 0o644)?;
    tracing::info!(dir = %dir.display(), "CA made");
    Ok(made)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("write {}", path.display()))
}

/// What a Secret has.
enum Found {
    Ca(Kept),
    /// It is there, and has no CA yet: the chart makes it so, that this process needs no right to make Secrets.
    Empty(Box<Secret>),
    Nothing,
}

async fn in_secret(secrets: &Api<Secret>, name: &str, now_s: i64) -> anyhow::Result<Kept> {
    let found = read(secrets, name).await?;
    let made = make(now_s)?;
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        (String::from("tls.crt"), bytes(&made.certificates)),
        (String::from("tls.key"), bytes(&made.key)),
    ]);
    let params = PostParams::default();
    let written = match found {
        Found::Ca(kept) => return Ok(kept),
        // with its version: of two that fill it one is told of the other
        Found::Empty(secret) => secrets.replace(name, &params, &Secret { data: Some(data), ..*secret }).await,
        Found::Nothing => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let type_ = Some(String::from("kubernetes.io/tls"));
            secrets.create(&params, &Secret { metadata, type_, data: Some(data), ..Secret::default() }).await
        }
    };
    match written {
        Ok(_) => {
            tracing::info!(secret = name, "CA made");
            Ok(made)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => match read(secrets, name).await? {
            Found::Ca(kept) => Ok(kept),
            Found::Empty(_) | Found::Nothing => bail!("the Secret {name} changed while it was written"),
        },
        Err(error) => Err(error).with_context(|| format!("write the Secret {name}")),
    }
}

async fn read(secrets: &Api<Secret>, name: &str) -> anyhow::Result<Found> {
    let found = secrets.get_opt(name).await.with_context(|| format!("read the Secret {name}"))?;
    let Some(secret) = found else { return Ok(Found::Nothing) };
    let text = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
    };
    match (text("tls.crt"), text("tls.key")) {
        (Some(certificates), Some(key)) => Ok(Found::Ca(Kept { certificates, key })),
        (None, None) => Ok(Found::Empty(Box::new(secret))),
        _ => bail!("the Secret {name} has one of tls.crt and tls.key and not the other"),
    }
}

/// Writes what agents check this aggregator with.
async fn publish(maps: &Api<ConfigMap>, name: &str, pem: &str) -> anyhow::Result<()> {
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(String::from("ca.crt"), pem.to_owned())])),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply("wake-aggregator").force();
    let patched = maps.patch(name, &params, &Patch::Apply(&map)).await;
    patched.map(drop).with_context(|| format!("write the ConfigMap {name}"))
}

#[cfg(test)]
mod tests {
    use super::{in_directory, seconds};

    #[test]
    fn hours_are_seconds() {
        assert_eq!([0.1, 1.0, 24.0].map(seconds), [360, 3_600, 86_400]);
        assert_eq!([f64::NAN, -1.0].map(seconds), [0, 0]);
    }

    #[test]
    fn a_directory_keeps_one_ca() {
        let dir = tempfile::tempdir().unwrap();
        let first = in_directory(&dir.path().join("ca"), 1_795_262_400).unwrap();
        let again = in_directory(&dir.path().join("ca"), 1_795_262_400).unwrap();
        assert_eq!((first.certificates, first.key), (again.certificates, again.key));
        std::fs::remove_file(dir.path().join("ca/ca.key")).unwrap();
        assert!(in_directory(&dir.path().join("ca"), 0).is_err(), "half a CA is not made whole silently");
    }
}
