//! Replaces what listeners serve with before it expires, and when its files change. Open connections go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use daemon::clock::Clock;
use daemon::shutdown::Token;
use daemon::tls::certificate::Described;
use daemon::tls::server::Material;
use daemon::tls::{TlsError, pem};

use super::ca::{Ca, CaError};
use super::{Tls, bundle, unix_s};

/// How often it is looked whether something is to be replaced.
const LOOK: Duration = Duration::from_secs(5);

/// Where certificates come from.
#[derive(Debug)]
pub(super) enum Source {
    Files { certificate: PathBuf, key: PathBuf, client_ca: PathBuf },
    Ca { ca: Arc<Ca>, names: Vec<String> },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ca(#[from] CaError),
}

/// Changes with a file; a Secret's file is a link that is turned.
type Version = Vec<Option<(SystemTime, u64, u64)>>;

impl Source {
    /// What to serve with as of now.
    pub(super) fn material(&self, now_s: i64) -> Result<Material, RenewError> {
        match self {
            Self::Files { certificate, key, client_ca } => {
                let name = |path: &Path| path.display().to_string();
                Ok(Material {
                    chain: bundle(&name(certificate), &pem::read(certificate)?)?,
                    key: pem::key(&name(key), &pem::read(key)?)?,
                    client_ca: bundle(&name(client_ca), &pem::read(client_ca)?)?,
                })
            }
            Self::Ca { ca, names } => {
                let (certificate, key) = ca.server(names, now_s)?;
                Ok(Material { chain: vec![certificate], key, client_ca: ca.certificates().to_vec() })
            }
        }
    }

    fn version(&self) -> Version {
        use std::os::unix::fs::MetadataExt as _;
        let version = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        match self {
            Self::Files { certificate, key, client_ca } => {
                [certificate, key, client_ca].into_iter().map(version).collect()
            }
            Self::Ca { .. } => Vec::new(),
        }
    }
}

/// Looks now and then.
#[derive(Debug)]
pub(super) struct Renewing {
    source: Source,
    tls: Tls,
    clock: Clock,
    version: Version,
    renew_at_s: i64,
}

impl Renewing {
    pub(super) fn new(source: Source, now: &Material, tls: Tls, clock: Clock) -> Self {
        let version = source.version();
        let mut renewing = Self { source, tls, clock, version, renew_at_s: i64::MAX };
        renewing.note(now);
        renewing
    }

    /// Until the token's phase begins.
    pub(super) async fn run(mut self, token: Token) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => self.look(),
                () = token.stopped() => return,
            }
        }
    }

    fn look(&mut self) {
        let now_s = unix_s(&self.clock);
        let version = self.source.version();
        let is_due = matches!(self.source, Source::Ca { .. }) && now_s >= self.renew_at_s;
        if version == self.version && !is_due {
            return;
        }
        match self.replace(now_s) {
            Ok(()) => {
                tracing::info!("certificate replaced");
                self.version = version;
            }
            // files may be half written: what was before holds, and it is tried again
            Err(error) => tracing::warn!(error = %crate::chain(&error), "certificate not replaced"),
        }
    }

    fn replace(&mut self, now_s: i64) -> Result<(), RenewError> {
        let material = self.source.material(now_s)?;
        self.tls.ingest.replace(&material)?;
        let people = Material { client_ca: Vec::new(), ..material };
        self.tls.api.replace(&people)?;
        self.note(&people);
        Ok(())
    }

    fn note(&mut self, material: &Material) {
        let described = material.chain.first().map(Described::of);
        if let Some(Ok(described)) = described {
            self.renew_at_s = described.renew_at_s();
            self.tls.metrics.serves_with(&described);
        }
    }
}
