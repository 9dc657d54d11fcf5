//! What a pod's annotations (`wake.dev/logs...`) say of its logs.
//!
//! In: the settings that the aggregator passes on. Out: [`Wishes`], and what is wrong with them, in words. Pure.
//! Invariant: what is not understood about whether logs are read means that they are not.

use std::collections::BTreeMap;

use proto::v1::KubePod;

/// The prefix that the aggregator takes off.
const PREFIX: &str = "wake.dev/";
/// Longest value that is repeated in a sentence.
const MOST_SHOWN: usize = 64;

/// What is wanted of the logs of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Its lines stay where they are.
    pub(crate) is_off: bool,
    /// Level and trace are not looked for in its text.
    pub(crate) is_plain: bool,
    /// How its lines become records.
    pub(crate) joining: Joining,
}

/// How lines become records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Joining {
    /// As the agent's config says.
    #[default]
    AsConfigured,
    /// Every line is a record.
    Off,
    /// By the rules for traces and indented lines.
    Rules,
    /// By a pattern of first lines.
    FirstLine(String),
}

/// What the pod's annotations say of this container; those of the container itself win. And what is wrong with them.
pub(crate) fn of(pod: &KubePod, container: &str) -> (Wishes, Vec<String>) {
    let mut wishes = Wishes::default();
    let mut wrong = Vec::new();
    let own = |key: &str| key.split_once('.').is_some_and(|(_, rest)| is_ours(rest));
    // the pod's first: the container's have the last word; backwards: a pattern has it over `logs.multiline`
    let (theirs, pods): (BTreeMap<&String, &String>, BTreeMap<&String, &String>) =
        pod.settings.iter().partition(|(key, _)| own(key));
    for (key, value) in pods.into_iter().rev().filter(|(key, _)| is_ours(key)) {
        take(&mut wishes, key, value, key, &mut wrong);
    }
    for (key, value) in theirs.into_iter().rev() {
        let Some((name, rest)) = key.split_once('.') else { continue };
        if name == container {
            take(&mut wishes, rest, value, key, &mut wrong);
        } else if !pod.containers.iter().any(|known| known.name == name) {
            wrong.push(format!("{PREFIX}{key}: the pod has no container {name:?}"));
        }
    }
    wrong.sort_unstable();
    (wishes, wrong)
}

fn is_ours(key: &str) -> bool {
    key == "logs" || key.starts_with("logs.")
}

fn take(wishes: &mut Wishes, what: &str, value: &str, key: &str, wrong: &mut Vec<String>) {
    let said = switch(value);
    let shown: String = value.chars().take(MOST_SHOWN).collect();
    match (what, said) {
        ("logs", Some(is_on)) => wishes.is_off = !is_on,
        ("logs", None) => {
            wishes.is_off = true;
            wrong.push(format!("{PREFIX}{key}: {shown:?} is neither on nor off, and taken as off"));
        }
        ("logs.multiline", Some(true)) => wishes.joining = Joining::Rules,
        ("logs.multiline", Some(false)) => wishes.joining = Joining::Off,
        ("logs.parse", Some(is_on)) => wishes.is_plain = !is_on,
        ("logs.multiline" | "logs.parse", None) => {
            wrong.push(format!("{PREFIX}{key}: {shown:?} is neither on nor off"));
        }
        ("logs.first-line", _) if value.is_empty() => wrong.push(format!("{PREFIX}{key}: is empty")),
        ("logs.first-line", _) => wishes.joining = Joining::FirstLine(value.to_owned()),
        _ => wrong.push(format!("{PREFIX}{key}: there is no such annotation")),
    }
}

fn switch(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
