//! Events of Kubernetes (events.k8s.io/v1), each time that one is repeated.
//!
//! In: the API's watch. Out: rows about the object that an Event regards. What was recorded before a restart is not
//! recorded again. Does not: keep Events, their annotations or who manages their fields.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use daemon::log::Repeated;
use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::runtime::watcher::{Event as Watched, watcher};
use proto::v1;
use tokio::sync::mpsc::Sender;

use super::Kube;
use super::changes::identity;
use super::object::{Kind, Object, snake_case};
use super::record::{Known, Row};
use super::watching::lists;

/// The first and the longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A note is at most 1 KiB by the API's own rules.
const MOST_NOTE_BYTES: usize = 4_096;
const MOST_WORD_BYTES: usize = 253;

/// Watches for ever, until nobody takes the rows.
pub(super) async fn run(kube: &Kube, known: &Known, rows: Sender<Row>) {
    let api: Api<Event> = Api::all(kube.client());
    let mut events = pin!(watcher(api, lists()));
    let lines = Repeated::new(kube.clock.clone(), Duration::from_secs(30));
    let mut pause = PAUSES.0;
    // the newest version of what was listed before, so that a new list after an interruption adds only what is new
    let mut seen = Seen::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(Watched::Apply(event) | Watched::InitApply(event)) => {
                pause = PAUSES.0;
                let uid = event.metadata.uid.as_deref().unwrap_or_default();
                let version = event.metadata.resource_version.as_deref().unwrap_or_default();
                if known.has_event(uid, version) || !seen.is_new(uid, version) {
                    continue;
                }
                let (row, regarding) = row(event, kube.now_ns());
                if rows.send(Row::Event(identity_of(kube, &row, regarding), row)).await.is_err() {
                    return;
                }
            }
            Ok(Watched::Delete(event)) => seen.forget(event.metadata.uid.as_deref().unwrap_or_default()),
            Ok(Watched::Init | Watched::InitDone) => pause = PAUSES.0,
            Err(error) => {
                let error = daemon::log::chain(&error);
                if let Some(held_back) = lines.permit() {
                    tracing::warn!(error, held_back, "watch of Events interrupted");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// The versions of Events that were recorded.
#[derive(Debug, Default)]
struct Seen(std::collections::HashMap<Box<str>, Box<str>>);

impl Seen {
    /// Events of an hour on a large cluster. Beyond them a list after an interruption may record one again.
    const MOST: usize = 200_000;

    fn is_new(&mut self, uid: &str, version: &str) -> bool {
        if self.0.get(uid).is_some_and(|before| &**before == version) {
            return false;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(uid.into(), version.into());
        true
    }

    fn forget(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

/// An Event's row, and where the object that it regards lives: its namespace, and the container where it is about one.
fn row(event: Event, now_ns: u64) -> (v1::KubeEventRow, Regarding) {
    let regarding = event.regarding.unwrap_or_default();
    let series = event.series.as_ref();
    let first = event.deprecated_first_timestamp.as_ref().and_then(|time| nanos(&time.0));
    let first = first.or_else(|| nanos(&event.event_time.as_ref()?.0));
    let last = series
        .and_then(|series| nanos(&series.last_observed_time.0))
        .or_else(|| nanos(&event.deprecated_last_timestamp.as_ref()?.0))
        .or(first)
        .or_else(|| nanos(&event.metadata.creation_timestamp.as_ref()?.0));
    let count = series.map(|series| series.count).or(event.deprecated_count).unwrap_or(1);
    let source = event.deprecated_source.and_then(|source| source.component);
    let controller = event.reporting_controller.filter(|name| !name.is_empty()).or(source);
    let row = v1::KubeEventRow {
        identity: 0,
        // a clock ahead of ours is not believed
        ts: last.unwrap_or(now_ns).min(now_ns),
        r#type: word(event.type_),
        reason: word(event.reason),
        note: bounded(&event.note.unwrap_or_default(), MOST_NOTE_BYTES),
        regarding_kind: word(regarding.kind),
        regarding_name: word(regarding.name),
        regarding_uid: word(regarding.uid),
        controller: word(controller),
        action: word(event.action),
        count: u64::try_from(count).unwrap_or(1).max(1),
        first_ts: first.map(|first| first.min(now_ns)),
        uid: word(event.metadata.uid),
        resource_version: word(event.metadata.resource_version),
    };
    // spec.containers{app}
    let part = regarding.field_path.unwrap_or_default();
    let container = part.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')).unwrap_or_default();
    let regarding =
        Regarding { namespace: word(regarding.namespace), container: bounded(container, MOST_WORD_BYTES) };
    (row, regarding)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Regarding {
    namespace: String,
    container: String,
}

/// The identity of the object that an Event regards: as the watch knows it, if that is the object that the Event names,
/// else as the Event names it. Its namespace is always the Event's, which the API server holds to that in which the
/// Event was made: who may make Events there must not speak of objects elsewhere by their uid.
fn identity_of(kube: &Kube, row: &v1::KubeEventRow, regarding: Regarding) -> v1::Identity {
    let kind = snake_case(&row.regarding_kind);
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let object = known.and_then(|known| kube.read().find(known, &row.regarding_uid));
    let is_named = |object: &Arc<Object>| {
        *object.namespace == *regarding.namespace && *object.name == *row.regarding_name
    };
    let object = object.filter(is_named);
    let mut identity = object.map(|object| identity(kube, &object)).unwrap_or_default();
    identity.cluster = kube.cluster();
    identity.namespace = regarding.namespace;
    let is_pod = known == Some(Kind::Pod);
    if is_pod && identity.pod.is_empty() {
        identity.pod.clone_from(&row.regarding_name);
        identity.pod_uid.clone_from(&row.regarding_uid);
    }
    if is_pod {
        identity.container = regarding.container;
    }
    if known == Some(Kind::Node) && identity.node.is_empty() {
        identity.node.clone_from(&row.regarding_name);
    }
    identity
}

fn word(text: Option<String>) -> String {
    bounded(&text.unwrap_or_default(), MOST_WORD_BYTES)
}

/// Cut, and without what would move a cursor.
fn bounded(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

fn nanos(time: &k8s_openapi::jiff::Timestamp) -> Option<u64> {
    u64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests;
