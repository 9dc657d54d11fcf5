//! What takes space: the data folder by kind of file, each table by row, each column of the log by row.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::server::Server;
use super::truth::Truth;
use crate::process::disk_bytes;
use crate::report::Report;

/// Columns of the log below this share of the text are summed up.
const SHOWN: f64 = 0.02;

/// Bytes by kind of file and by column of one table.
#[derive(Debug, Default)]
struct Sizes {
    segments: u64,
    rows: u64,
    files: BTreeMap<String, u64>,
    columns: BTreeMap<String, u64>,
}

pub(crate) fn run(server: &Server, truth: &Truth, report: &mut Report) -> Result<()> {
    let disk = disk_bytes(&server.data)? as f64;
    let text = truth.text_bytes as f64;
    report.figure("disk: MB", disk / 1e6);
    report.figure("disk: bytes per log line", disk / truth.lines as f64);
    let mut logs = disk;
    for table in ["log", "flow", "usage"] {
        let folder = server.data.join("seg/default").join(table);
        if !folder.try_exists()? {
            continue;
        }
        let mut sizes = Sizes::default();
        sizes.add(&folder)?;
        report.figure(&format!("disk: {table}: segments"), sizes.segments);
        if table == "log" {
            for (file, bytes) in &sizes.files {
                report.figure(&format!("disk: log: {file}, % of text"), 100.0 * *bytes as f64 / text);
            }
            let mut rest = 0.0;
            for (column, bytes) in &sizes.columns {
                match 100.0 * *bytes as f64 / text {
                    share if share < SHOWN => rest += share,
                    share => report.figure(&format!("disk: log: column {column}, % of text"), share),
                }
            }
            report.figure("disk: log: other columns, % of text", rest);
        } else {
            let bytes: u64 = sizes.files.values().sum();
            report.figure(&format!("disk: {table}: rows"), sizes.rows);
            report.figure(&format!("disk: {table}: bytes per row"), bytes as f64 / sizes.rows as f64);
            logs -= disk_bytes(&folder)? as f64;
        }
    }
    let wal = disk_bytes(&server.data.join("wal"))? as f64;
    report.figure("disk: write-ahead log MB", wal / 1e6);
    report.figure("disk: all but flow and usage, % of text", 100.0 * logs / text);
    let merged = merged_inputs(&server.data)? as f64;
    report.figure("disk: inputs of merges that will go, MB", merged / 1e6);
    report.figure("disk: settled, without them, % of text", 100.0 * (logs - merged) / text);
    Ok(())
}

/// Bytes of the log's segments whose rows another segment took over: they stay for a while, for queries that hold them.
fn merged_inputs(data: &Path) -> Result<u64> {
    let mut replaced = Vec::new();
    let log = data.join("seg/default/log");
    if log.try_exists()? {
        note_replaced(&log, &mut replaced)?;
    }
    let mut bytes = 0;
    for folder in replaced.iter().map(|folder| data.join(folder)) {
        if folder.try_exists()? {
            bytes += disk_bytes(&folder)?;
        }
    }
    Ok(bytes)
}

/// What the segments below a folder say that they replaced.
fn note_replaced(folder: &Path, replaced: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            note_replaced(&path, replaced)?;
        } else if path.ends_with("meta.json") {
            let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            let folders = meta["replaces"].as_array().into_iter().flatten();
            replaced.extend(folders.filter_map(|folder| folder.as_str().map(str::to_owned)));
        }
    }
    Ok(())
}

impl Sizes {
    fn add(&mut self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(&path)?;
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == "data.parquet" {
                self.segments += 1;
                self.columns(&path)?;
            }
            *self.files.entry(name).or_default() += path.metadata()?.len();
        }
        Ok(())
    }

    fn columns(&mut self, path: &Path) -> Result<()> {
        let reader = SerializedFileReader::new(File::open(path)?).context("read a segment's columns")?;
        for group in reader.metadata().row_groups() {
            self.rows += u64::try_from(group.num_rows())?;
            for column in group.columns() {
                let bytes = u64::try_from(column.compressed_size())?;
                *self.columns.entry(column.column_path().string()).or_default() += bytes;
                let bloom = column.bloom_filter_length().map_or(0, i32::cast_unsigned);
                *self.columns.entry("(blooms)".to_owned()).or_default() += u64::from(bloom);
            }
        }
        Ok(())
    }
}
