//! The initramfs: busybox, the test binary with its libraries, `ip` and `nft`, a Go program to look into, the kernel's
//! modules, one script.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::packages::Kernel;
use crate::{out, run, tree};

/// What the tests need of the kernel that it may have as a module, with what each depends on.
const MODULES: [&str; 25] = [
    "veth",
    "dummy",
    "nf_tables",
    "nfnetlink",
    "nft_counter",
    "nft_objref",
    "nft_numgen",
    "nft_quota",
    "nft_hash",
    "nft_ct",
    // destinations rewritten, as by kube-proxy, and who asks for them
    "nft_chain_nat",
    "nft_nat",
    "nf_conntrack_netlink",
    "nft_limit",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nf_conntrack",
    "inet_diag",
    "tcp_diag",
    "brd",
    "loop",
    "null_blk",
    "tun",
];

const INIT: &str = include_str!("init.sh");

/// The programs of this machine that go into the image, or make it.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) qemu: PathBuf,
    busybox: PathBuf,
    ip: PathBuf,
    nft: PathBuf,
}

impl Tools {
    /// All of them, or the one command that gets what is missing.
    pub(super) fn find() -> Result<Self> {
        let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
        let mut missing = Vec::new();
        let mut find = |name: &str, package: &'static str| {
            tree::find_program(name, &sbin).unwrap_or_else(|| {
                missing.push(package);
                PathBuf::new()
            })
        };
        let tools = Self {
            qemu: find("qemu-system-x86_64", "qemu-system-x86"),
            busybox: find("busybox", "busybox-static"),
            ip: find("ip", "iproute2"),
            nft: find("nft", "nftables"),
        };
        for (name, package) in
            [("cpio", "cpio"), ("depmod", "kmod"), ("xz", "xz-utils"), ("strip", "binutils")]
        {
            find(name, package);
        }
        if !missing.is_empty() {
            bail!("to boot kernels this machine lacks: apt-get install {}", missing.join(" "));
        }
        Ok(tools)
    }
}

/// A file that goes away with this value.
#[derive(Debug)]
pub(super) struct Image(PathBuf);

impl Image {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Goes into the image: programs, and which tests to run.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    /// The test binary
    pub(super) tests: &'a Path,
    /// The Go server and client of the TLS tests, one file without libraries.
    pub(super) go_pair: Option<&'a Path>,
    /// Only tests whose name holds this.
    pub(super) only: Option<&'a str>,
}

/// Builds the Go server and client; `None` without Go's compiler, which is said: then the test is skipped there.
pub(super) fn go_pair() -> Result<Option<PathBuf>> {
    let dir = tree::target().join("kernels").join("go-pair");
    fs::create_dir_all(&dir)?;
    fs::copy(tree::root().join("tests/kernel/go/pair.go"), dir.join("main.go"))?;
    fs::write(dir.join("go.mod"), "module pair\n\ngo 1.21\n")?;
    let mut go = Command::new("go");
    go.args(["build", "-ldflags=-s -w", "-o", "pair", "."]).current_dir(&dir);
    go.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod");
    if go.status().is_ok_and(|status| status.success()) {
        return Ok(Some(dir.join("pair")));
    }
    out::note("without Go's compiler: TLS of Go is not tested");
    Ok(None)
}

pub(super) fn build(tools: &Tools, kernel: &Kernel, contents: &Contents<'_>) -> Result<Image> {
    let dir = tree::target().join("kernels").join(format!("{}-{}", kernel.release, std::process::id()));
    let root = dir.join("root");
    for sub in ["bin", "lib/modules", "proc", "sys", "dev", "tmp", "run", "etc", "var", "root"] {
        fs::create_dir_all(root.join(sub)).with_context(|| format!("create {}", root.join(sub).display()))?;
    }
    copy(&tools.busybox, &root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    if let Some(program) = contents.go_pair {
        copy(program, &root.join("bin/go-pair"))?;
    }
    for (program, name) in [(contents.tests, "kernel-tests"), (&tools.ip, "ip"), (&tools.nft, "nft")] {
        copy(program, &root.join("bin").join(name))?;
        for library in libraries(program)? {
            let to = root.join(library.strip_prefix("/").unwrap_or(&library));
            copy(&library, &to)?;
        }
    }
    fs::write(root.join("modules.order"), modules(kernel, &root.join("lib/modules"))?)?;
    fs::write(root.join("test-filter"), contents.only.unwrap_or_default())?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let image =
        Image(tree::target().join("kernels").join(format!("{}-{}.cpio", kernel.release, std::process::id())));
    pack(&root, &image.0)?;
    fs::remove_dir_all(&dir)?;
    Ok(image)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file lies in a directory")?)?;
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The shared libraries that `ldd` names, the loader among them; none for a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listing = run::read(Command::new("ldd").arg(program)).unwrap_or_default();
    Ok(listing
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

/// Copies the modules and all that they depend on, unpacked; the order in which to insert them.
fn modules(kernel: &Kernel, to: &Path) -> Result<String> {
    let listing = kernel.modules.join("modules.dep");
    if !listing.is_file() {
        depmod(kernel)?;
    }
    let text = fs::read_to_string(&listing).with_context(|| format!("read {}", listing.display()))?;
    let mut depends: BTreeMap<String, (&str, Vec<&str>)> = BTreeMap::new();
    for line in text.lines() {
        let Some((module, needs)) = line.split_once(':') else { continue };
        depends.insert(module_name(module), (module, needs.split_whitespace().collect()));
    }
    let mut order: Vec<&str> = Vec::new();
    for (module, needs) in MODULES.iter().filter_map(|name| depends.get(*name)) {
        // what is needed most deeply stands last
        for file in needs.iter().rev().chain(std::iter::once(module)) {
            if !order.contains(file) {
                order.push(file);
            }
        }
    }
    let mut names = String::new();
    for file in order {
        let name = format!("{}.ko", module_name(file));
        fs::write(to.join(&name), unpacked(&kernel.modules.join(file))?)?;
        names.push_str(&format!("/lib/modules/{name}\n"));
    }
    Ok(names)
}

fn depmod(kernel: &Kernel) -> Result<()> {
    let base = kernel.modules.ancestors().nth(3).context("modules lie in lib/modules/<release>")?;
    // what it warns of is not in cloud packages, nor needed
    run::read(Command::new("depmod").arg("-b").arg(base).arg(&kernel.release)).map(drop)
}

/// `kernel/net/netfilter/nf_tables.ko.xz` is `nf_tables`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("read {}", path.display())),
    };
    let output =
        Command::new(program).arg("-dc").arg(path).output().with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!("{program} -dc {}: {}", path.display(), output.status);
    }
    Ok(output.stdout)
}

fn pack(root: &Path, to: &Path) -> Result<()> {
    let names = run::read(Command::new("find").current_dir(root).args([".", "-mindepth", "1"]))?;
    let file = fs::File::create(to).with_context(|| format!("create {}", to.display()))?;
    let mut cpio = Command::new("cpio")
        .current_dir(root)
        .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("start cpio")?;
    if let Some(mut stdin) = cpio.stdin.take() {
        std::io::Write::write_all(&mut stdin, names.as_bytes()).context("name files to cpio")?;
    }
    let status = cpio.wait()?;
    if !status.success() {
        bail!("cpio: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::module_name;

    #[test]
    fn modules_are_named_as_the_kernel_does() {
        assert_eq!(module_name("kernel/net/netfilter/nft_reject_inet.ko.xz"), "nft_reject_inet");
        assert_eq!(module_name("kernel/drivers/block/null-blk.ko"), "null_blk");
    }
}
