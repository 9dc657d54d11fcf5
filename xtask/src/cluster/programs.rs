//! Kubernetes, CoreDNS, Helm and kubeconform, built from source by Go and kept in the cache.
//!
//! Each is a small Go module in `tests/cluster/go`: `go.mod` names the program, `go.sum` pins every source. What is
//! built is kept under a hash of both, so it is built once per machine, and Go is asked for only then. Go's own caches,
//! many GB, are kept apart from the user's and removed afterwards. One run builds at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::wait;
use crate::{clock, out, run, sha256, tree};

/// Go as the modules' `go.mod` want it.
const GO: (u32, u32, u32) = (1, 26, 8);
/// How long another run that builds is waited for: three quarters of an hour on busy cores.
const OTHERS: Duration = Duration::from_secs(50 * 60);
const KUBERNETES: &str = "v1.34.4";

/// The directory of a module, and what is built of it.
const MODULES: [(&str, &[&str]); 4] = [
    (
        "kube",
        &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
    ),
    ("coredns", &["github.com/coredns/coredns"]),
    ("helm", &["helm.sh/helm/v3/cmd/helm"]),
    ("kubeconform", &["github.com/yannh/kubeconform/cmd/kubeconform"]),
];

/// Kubernetes' description of its own objects, kept beside its programs.
const SWAGGER: &str = "swagger.json";

/// Where the finished programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    kube: PathBuf,
    coredns: PathBuf,
    helm: PathBuf,
    kubeconform: PathBuf,
}

impl Programs {
    /// One of Kubernetes' own programs.
    pub(crate) fn kube(&self, name: &str) -> PathBuf {
        self.kube.join(name)
    }

    pub(crate) fn coredns(&self) -> PathBuf {
        self.coredns.join("coredns")
    }

    pub(crate) fn helm(&self) -> PathBuf {
        self.helm.join("helm")
    }

    pub(crate) fn kubeconform(&self) -> PathBuf {
        self.kubeconform.join("kubeconform")
    }

    pub(crate) fn swagger(&self) -> PathBuf {
        self.kube.join(SWAGGER)
    }
}

/// Why nothing can be built by what `go version` said, if so.
fn lacking(version: Option<&str>) -> Option<String> {
    let (major, minor, patch) = GO;
    let needed = format!(
        "Kubernetes, CoreDNS and Helm are built from source: that needs Go {major}.{minor}.{patch} or newer"
    );
    match version {
        Some(version) if parsed(version) >= Some(GO) => None,
        Some(version) => Some(format!("{needed}, this is {version}")),
        None => Some(format!("{needed} (https://go.dev/dl)")),
    }
}

/// All programs, built if they are not in the cache.
pub(crate) fn find() -> Result<Programs> {
    let dirs = dirs(&home()?)?;
    if dirs.iter().any(|dir| !dir.is_dir()) {
        build_missing(&dirs)?;
    }
    let [kube, coredns, helm, kubeconform] = dirs;
    Ok(Programs { kube, coredns, helm, kubeconform })
}

/// Why the programs are not there.
#[derive(Debug)]
pub(super) enum NotBuilt {
    /// Nobody has built them here yet.
    Later,
    /// Nobody can here.
    Never(String),
}

/// Why the programs are not there, if they are not.
pub(super) fn why_not_built() -> Result<Option<NotBuilt>> {
    if dirs(&home()?)?.iter().all(|dir| dir.is_dir()) {
        return Ok(None);
    }
    let version = run::read(Command::new("go").arg("version")).ok();
    let never = lacking(version.as_deref().map(str::trim_end)).map(NotBuilt::Never);
    Ok(Some(never.unwrap_or(NotBuilt::Later)))
}

/// Where each module's programs are, or are to be.
fn dirs(home: &Path) -> Result<[PathBuf; 4]> {
    let mut dirs = Vec::new();
    for (module, _) in MODULES {
        dirs.push(home.join(format!("{module}-{}", key(&source(module))?)));
    }
    <[PathBuf; 4]>::try_from(dirs).ok().context("there are four modules")
}

fn build_missing(dirs: &[PathBuf; 4]) -> Result<()> {
    let version = run::read(Command::new("go").arg("version")).ok();
    if let Some(reason) = lacking(version.as_deref().map(str::trim_end)) {
        bail!(reason);
    }
    let _lock = lock()?;
    for ((module, packages), dir) in MODULES.iter().zip(dirs) {
        // another run may have built it meanwhile
        if !dir.is_dir() {
            build(module, packages, &source(module), dir)?;
        }
    }
    fs::remove_dir_all(home()?.join(".go")).ok();
    Ok(())
}

/// Held while something is built: Go's caches are removed at the end.
fn lock() -> Result<File> {
    let home = home()?;
    fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let path = home.join(".lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        out::note("waiting for another run that builds Kubernetes");
        wait::until("end of another run that builds Kubernetes", OTHERS, || Ok(file.try_lock().is_ok()))?;
    }
    Ok(file)
}

fn source(module: &str) -> PathBuf {
    tree::root().join("tests/cluster/go").join(module)
}

fn home() -> Result<PathBuf> {
    Ok(tree::cache()?.join("kube"))
}

/// The numbers of `go version go1.26.8 linux/amd64`.
fn parsed(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split(' ').nth(2)?.strip_prefix("go")?.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((major, minor, parts.next().map_or(Some(0), |patch| patch.parse().ok())?))
}

fn key(source: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    for name in ["go.mod", "go.sum"] {
        let path = source.join(name);
        bytes.extend(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(sha256::hex(&bytes)[..16].to_owned())
}

fn build(module: &str, packages: &[&str], source: &Path, dir: &Path) -> Result<()> {
    let began = clock::now();
    out::step(&format!("building {module} from source (once per machine, several minutes)"));
    let part = home()?.join(format!(".{module}-{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
    let go = || -> Result<Command> {
        let mut go = Command::new("nice");
        go.arg("go").current_dir(source).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
        go.env("GOCACHE", home()?.join(".go/cache")).env("GOMODCACHE", home()?.join(".go/mod"));
        go.env("GOFLAGS", "-buildvcs=false -modcacherw -mod=readonly");
        Ok(go)
    };
    let built = run::check(
        go()?
            .args(["build", "-trimpath", "-ldflags", &flags(module), "-o"])
            .arg(format!("{}/", part.display()))
            .args(packages),
    );
    let copied = built.and_then(|()| {
        if module != "kube" {
            return Ok(());
        }
        let kubernetes = run::read(go()?.args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]))?;
        let swagger = Path::new(kubernetes.trim_end()).join("api/openapi-spec").join(SWAGGER);
        fs::copy(&swagger, part.join(SWAGGER)).with_context(|| format!("copy {}", swagger.display()))?;
        Ok(())
    });
    if let Err(error) = copied {
        fs::remove_dir_all(&part).ok();
        return Err(error);
    }
    forget_older(module)?;
    fs::rename(&part, dir).with_context(|| format!("create {}", dir.display()))?;
    out::note(&format!("{module}: {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// What Kubernetes says of its version must be told to the linker.
fn flags(module: &str) -> String {
    if module != "kube" {
        return "-s -w".to_owned();
    }
    let package = "k8s.io/component-base/version";
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    format!(
        "-s -w -X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor=1 -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    )
}

/// Half a gigabyte of an earlier version is of no use any more.
fn forget_older(module: &str) -> Result<()> {
    for entry in fs::read_dir(home()?).context("read the cache")? {
        let entry = entry.context("read the cache")?;
        if entry.file_name().to_string_lossy().starts_with(&format!("{module}-")) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{dirs, lacking, parsed};

    #[test]
    fn go_says_its_version() {
        assert_eq!(parsed("go version go1.26.8 linux/amd64"), Some((1, 26, 8)));
        assert_eq!(parsed("go version go1.27 linux/amd64"), Some((1, 27, 0)));
        assert_eq!(parsed("go version devel"), None);
    }

    #[test]
    fn go_is_asked_for_only_where_something_is_to_be_built() {
        assert!(lacking(None).unwrap().contains("needs Go 1.26.8 or newer"));
        assert!(
            lacking(Some("go version go1.22.2 linux/amd64")).unwrap().contains("this is go version go1.22.2")
        );
        assert_eq!(lacking(Some("go version go1.27.0 linux/amd64")), None);
        // where it is looked for does not depend on Go
        let [kube, ..] = dirs(Path::new("/cache")).unwrap();
        assert!(kube.to_str().unwrap().starts_with("/cache/kube-"));
    }
}
