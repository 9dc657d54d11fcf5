//! Images for the tests' own pods, made of this machine's programs: nothing is pulled.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::archive::{self, Image};
use super::layer::Layer;
use crate::{run, tree};

/// What holds a pod's namespaces: it waits, and its runtime kills it.
pub(crate) fn pause(registry: &str, dir: &Path) -> Result<PathBuf> {
    let mut layer = Layer::default();
    layer.file("busybox", &program("busybox")?, 0o755);
    image(registry, "pause:1", &["/busybox", "sleep", "2147483647"], &layer, dir)
}

pub(crate) fn coredns(registry: &str, binary: &Path, dir: &Path) -> Result<PathBuf> {
    let mut layer = Layer::default();
    layer.file("coredns", binary, 0o755);
    image(registry, "coredns:1", &["/coredns"], &layer, dir)
}

/// busybox with every applet, and curl with its libraries: Debian's static busybox cannot resolve names.
pub(crate) fn tools(registry: &str, dir: &Path) -> Result<PathBuf> {
    let busybox = program("busybox")?;
    let mut layer = Layer::default();
    layer.file("bin/busybox", &busybox, 0o755);
    for applet in run::read(Command::new(&busybox).arg("--list"))?.lines().filter(|name| *name != "busybox") {
        layer.link(&format!("bin/{applet}"), "busybox");
    }
    layer.program(&program("curl")?)?;
    for dir in ["tmp", "root", "proc", "sys", "dev"] {
        layer.dir(dir, if dir == "tmp" { 0o1777 } else { 0o755 });
    }
    layer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    layer.text("etc/group", "root:x:0:\n");
    layer.text("etc/nsswitch.conf", "hosts: files dns\n");
    layer.text("www/index.html", "hello\n");
    image(registry, "tools:1", &[], &layer, dir)
}

fn program(name: &str) -> Result<PathBuf> {
    tree::find_program(name, &[]).with_context(|| format!("no {name} on this machine"))
}

fn image(registry: &str, name: &str, entrypoint: &[&str], layer: &Layer, dir: &Path) -> Result<PathBuf> {
    let (short, _) = name.split_once(':').context("a name and a tag")?;
    let archive = dir.join(format!("{short}.tar"));
    archive::write(&Image { name: &format!("{registry}/{name}"), user: 0, entrypoint, layer }, &archive)?;
    Ok(archive)
}
