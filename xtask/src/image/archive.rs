//! An image archive: an OCI layout in a tar, with the `manifest.json` beside it that older `docker load` wants.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::layer::Layer;
use super::tar::Tar;
use crate::{run, sha256};

/// What an image is.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) name: &'a str,
    pub(super) user: u32,
    pub(super) entrypoint: &'a [&'a str],
    pub(super) layer: &'a Layer,
}

/// Writes it and returns the layer's size in bytes.
pub(super) fn write(image: &Image<'_>, to: &Path) -> Result<u64> {
    let packed = to.with_extension("layer");
    let file = File::create(&packed).with_context(|| format!("create {}", packed.display()))?;
    let mut tar = Tar::new(BufWriter::new(file));
    image.layer.write(&mut tar)?;
    tar.finish().with_context(|| format!("write {}", packed.display()))?;
    let size = fs::metadata(&packed)?.len();
    let layer = hash(&packed)?;
    let part = to.with_extension("part");
    let file = File::create(&part).with_context(|| format!("create {}", part.display()))?;
    let mut tar = Tar::new(BufWriter::new(file));
    let blob = |digest: &str| format!("blobs/sha256/{digest}");
    let (config, config_digest) = hashed(config(image, &layer));
    let (manifest, manifest_digest) = hashed(manifest(&config_digest, config.len(), &layer, size));
    let index = index(image.name, &manifest_digest, manifest.len());
    let docker = format!(
        r#"[{{"Config":"{}","RepoTags":["{}"],"Layers":["{}"]}}]"#,
        blob(&config_digest),
        image.name,
        blob(&layer)
    );
    text(&mut tar, "oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    text(&mut tar, "index.json", &index)?;
    text(&mut tar, "manifest.json", &docker)?;
    text(&mut tar, &blob(&config_digest), &config)?;
    text(&mut tar, &blob(&manifest_digest), &manifest)?;
    tar.file(&blob(&layer), 0o644, size, &mut File::open(&packed)?)?;
    tar.finish().with_context(|| format!("write {}", part.display()))?;
    fs::remove_file(&packed)?;
    fs::rename(&part, to).with_context(|| format!("create {}", to.display()))?;
    Ok(size)
}

fn text(tar: &mut Tar<impl Write>, path: &str, text: &str) -> Result<()> {
    tar.file(path, 0o644, text.len() as u64, &mut text.as_bytes())
}

fn hashed(text: String) -> (String, String) {
    let digest = sha256::hex(text.as_bytes());
    (text, digest)
}

fn config(image: &Image<'_>, layer: &str) -> String {
    let entrypoint: Vec<String> = image.entrypoint.iter().map(|word| format!("\"{word}\"")).collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"User":"{}","Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":[{}],"WorkingDir":"/"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}}}}"#,
        image.user,
        entrypoint.join(",")
    )
}

fn manifest(config: &str, config_size: usize, layer: &str, layer_size: u64) -> String {
    let kind = "application/vnd.oci.image";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{{"mediaType":"{kind}.config.v1+json","digest":"sha256:{config}","size":{config_size}}},"layers":[{{"mediaType":"{kind}.layer.v1.tar","digest":"sha256:{layer}","size":{layer_size}}}]}}"#
    )
}

fn index(name: &str, manifest: &str, size: usize) -> String {
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{manifest}","size":{size},"annotations":{{"io.containerd.image.name":"{name}","org.opencontainers.image.ref.name":"{tag}"}}}}]}}"#
    )
}

/// The layer is too long for our own SHA-256 without optimisation.
fn hash(path: &Path) -> Result<String> {
    let text = run::read(Command::new("sha256sum").arg(path))?;
    text.split(' ').next().map(|word| word.trim_start_matches('\\').to_owned()).context("sha256sum's answer")
}
