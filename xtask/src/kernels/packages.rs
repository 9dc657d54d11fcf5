//! Debian's kernels, from the mirror that this machine is configured with, kept in the cache.
//!
//! Each suite has a private apt (lists, cache, status), so that the machine's own package state is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{out, run, tree};

/// The package that always depends on a suite's newest cloud kernel.
const META: &str = "linux-image-cloud-amd64";
/// A kernel in the cache is looked up anew after this time.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

/// A kernel that can be booted.
#[derive(Debug)]
pub(super) struct Kernel {
    /// e.g. `6.1.0-50-cloud-amd64`
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// `lib/modules/<release>`
    pub(super) modules: PathBuf,
}

/// The newest kernel of `suite`; the one in the cache if it is fresh, or if the mirror cannot be reached.
pub(super) fn kernel(suite: &str) -> Result<Kernel> {
    let dir = tree::cache()?.join("kernels").join(suite);
    let cached = extracted(&dir.join("root"));
    let stamp = dir.join("stamp");
    let fresh = fs::metadata(&stamp)
        .and_then(|meta| meta.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < FRESH));
    if let (Some(_), true) = (&cached, fresh) {
        return cached.context("just seen");
    }
    match download(suite, &dir) {
        Ok(()) => {
            fs::write(&stamp, "")?;
            extracted(&dir.join("root")).with_context(|| format!("{suite}: the packages hold no kernel"))
        }
        Err(error) => match cached {
            Some(kernel) => {
                out::note(&format!("using the cached {}: {error:#}", kernel.release));
                Ok(kernel)
            }
            None => Err(error),
        },
    }
}

fn extracted(root: &Path) -> Option<Kernel> {
    // sid keeps modules below usr/lib
    let modules =
        ["lib/modules", "usr/lib/modules"].iter().map(|dir| root.join(dir)).find(|dir| dir.is_dir())?;
    let release = fs::read_dir(&modules).ok()?.flatten().next()?.file_name().to_string_lossy().into_owned();
    let modules = modules.join(&release);
    let images = [root.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = images.into_iter().find(|image| image.is_file())?;
    Some(Kernel { release, image, modules })
}

fn download(suite: &str, dir: &Path) -> Result<()> {
    for sub in ["lists/partial", "cache/archives/partial", "debs"] {
        fs::create_dir_all(dir.join(sub)).with_context(|| format!("create {}", dir.join(sub).display()))?;
    }
    fs::write(dir.join("sources.list"), source(suite)?)?;
    fs::write(dir.join("status"), "")?;
    out::note(&format!("asking the mirror for {suite}'s kernel"));
    run::read(apt("apt-get", dir).args(["-qq", "update"]))?;
    let depends = run::read(apt("apt-cache", dir).args(["depends", META]))?;
    let image = named(&depends, "linux-image-").with_context(|| format!("{suite} has no {META}"))?;
    let mut packages = vec![image.clone()];
    // newer kernels have their image and their modules in packages of their own
    let depends = run::read(apt("apt-cache", dir).args(["depends", &image]))?;
    packages.extend(["linux-modules-", "linux-binary-"].iter().filter_map(|prefix| named(&depends, prefix)));
    let debs = dir.join("debs");
    fs::remove_dir_all(&debs)?;
    fs::create_dir_all(&debs)?;
    out::note(&format!("downloading {}", packages.join(", ")));
    run::read(apt("apt-get", dir).current_dir(&debs).args(["-qq", "download"]).args(&packages))?;
    let root = dir.join("root");
    if root.is_dir() {
        fs::remove_dir_all(&root)?;
    }
    for entry in fs::read_dir(&debs)? {
        run::check(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(&root))?;
    }
    fs::remove_dir_all(&debs)?;
    Ok(())
}

/// The first dependency whose name goes on with a version after `prefix`.
fn named(depends: &str, prefix: &str) -> Option<String> {
    depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).find(|name| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

fn apt(program: &str, dir: &Path) -> Command {
    let mut apt = Command::new(program);
    let mut option = |text: String| {
        apt.arg("-o").arg(text);
    };
    option(format!("Dir::Etc::SourceList={}", dir.join("sources.list").display()));
    option("Dir::Etc::SourceParts=/dev/null".to_owned());
    option(format!("Dir::State::Lists={}", dir.join("lists").display()));
    option(format!("Dir::State::Status={}", dir.join("status").display()));
    option(format!("Dir::Cache={}", dir.join("cache").display()));
    option("APT::Architecture=amd64".to_owned());
    option("APT::Architectures=amd64".to_owned());
    option(format!("APT::Sandbox::User={}", if rustix::process::geteuid().is_root() { "root" } else { "" }));
    option("Acquire::Languages=none".to_owned());
    apt
}

/// One line of `sources.list` for `suite`, on the mirror that this machine has its own packages from.
fn source(suite: &str) -> Result<String> {
    let mirror = configured_mirror()
        .context("apt has no Debian mirror configured (a source whose address ends in /debian)")?;
    Ok(format!("deb [arch=amd64{}] {} {suite} main\n", signed_by(), mirror))
}

/// The Debian mirror that apt is configured with; an Ubuntu machine has none.
pub(super) fn configured_mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    tree::walk(Path::new("/etc/apt/sources.list.d"), &mut files).ok();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| mirror(&text))
}

/// The address of a Debian archive in a file of either of apt's forms.
fn mirror(sources: &str) -> Option<String> {
    sources
        .lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

fn signed_by() -> &'static str {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    if Path::new(keys).is_file() { " signed-by=/usr/share/keyrings/debian-archive-keyring.gpg" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::{mirror, named};

    #[test]
    fn a_mirror_is_found_in_both_forms() {
        let deb822 =
            "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        assert_eq!(mirror(deb822).as_deref(), Some("http://mirror.example/debian"));
        let line = "deb [signed-by=/k.gpg] https://mirror.example/debian/ bookworm main\n";
        assert_eq!(mirror(line).as_deref(), Some("https://mirror.example/debian/"));
        assert_eq!(mirror("deb https://mirror.example/ubuntu noble main\n"), None);
    }

    #[test]
    fn the_newest_image_is_named_by_the_meta_package() {
        let depends =
            "m\n  Depends: linux-base-cloud-amd64\n  Depends: linux-image-7.2.13+deb14-cloud-amd64\n";
        assert_eq!(named(depends, "linux-image-").as_deref(), Some("linux-image-7.2.13+deb14-cloud-amd64"));
        assert_eq!(named(depends, "linux-modules-"), None);
    }
}
