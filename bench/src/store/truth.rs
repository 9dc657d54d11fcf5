//! What is known about the data before the store sees it; each answer is compared with it.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize, Debug, Default)]
pub(crate) struct Truth {
    pub lines: u64,
    pub text_bytes: u64,
    pub start_ns: i64,
    pub end_ns: i64,
    /// Trace ids and on how many lines each stands.
    #[serde(default)]
    pub traces: Vec<WordCount>,
    /// Whole words that are rare.
    #[serde(default)]
    pub rare: Vec<WordCount>,
    /// Words that stand inside a longer token.
    #[serde(default)]
    pub infix: Vec<WordCount>,
    #[serde(default)]
    pub regex: String,
    #[serde(default)]
    pub regex_hits: u64,
    /// Level → lines per minute since the first minute.
    #[serde(default)]
    pub level_per_minute: BTreeMap<String, Vec<u64>>,
    /// Word → level → lines per minute.
    #[serde(default)]
    pub word_level_per_minute: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    #[serde(default)]
    pub top_pods_ns: String,
    #[serde(default)]
    pub top_error_pods: Vec<WordCount>,
    /// Flow and usage rows beside the lines.
    #[serde(default)]
    pub flow_rows: u64,
    #[serde(default)]
    pub usage_rows: u64,
}

#[derive(Deserialize, Debug, Clone)]
pub(crate) struct WordCount {
    pub word: String,
    pub count: u64,
}
