//! One watch per kind: list, then changes, for ever. What fails is tried again, and the last state holds meanwhile.

use std::collections::HashSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use daemon::log::Repeated;
use daemon::shutdown::Token;
use futures::StreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::object::Kind;
use super::trim::{Trim, Trimmed, Unfit};
use super::{Kube, WatchState, wire};

/// Objects of one page of a list: a page is in memory as a whole. It holds because lists are of what etcd has now; one
/// out of an API server's watch cache comes whole, and may be of before what was told already.
const PAGE: u32 = 500;
/// The first and the longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How often pods that have gone are looked through.
const EXPIRE: Duration = Duration::from_secs(30);

/// Watches everything until the token's phase begins.
pub(crate) async fn run(kube: Arc<Kube>, token: Token) {
    tokio::select! {
        () = token.stopped() => {}
        () = async {
            tokio::join!(
                kind::<wire::Pod>(&kube),
                kind::<wire::Service>(&kube),
                kind::<wire::EndpointSlice>(&kube),
                kind::<wire::Node>(&kube),
                kind::<wire::Namespace>(&kube),
                kind::<wire::ServiceCIDR>(&kube),
                kind::<wire::Deployment>(&kube),
                kind::<wire::ReplicaSet>(&kube),
                kind::<wire::StatefulSet>(&kube),
                kind::<wire::DaemonSet>(&kube),
                kind::<wire::Job>(&kube),
                kind::<wire::CronJob>(&kube),
                expire(&kube),
            );
        } => {}
    }
}

/// How everything is listed and watched.
pub(super) fn lists() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

async fn expire(kube: &Kube) {
    loop {
        tokio::time::sleep(EXPIRE).await;
        let now_ns = kube.now_ns();
        kube.cache.write().unwrap_or_else(PoisonError::into_inner).expire(now_ns);
        let cache = kube.read();
        Kind::ALL.into_iter().for_each(|kind| kube.metrics.objects(kind, cache.count(kind)));
    }
}

async fn kind<K>(kube: &Kube)
where
    K: Trimmed + Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api: Api<K> = Api::all(kube.client());
    let mut events = pin!(watcher(api, lists()));
    let lines = Repeated::new(kube.clock.clone(), Duration::from_secs(30));
    let mut pause = PAUSES.0;
    // uids of a list that is being read
    let mut listed: Option<HashSet<Box<str>>> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                pause = PAUSES.0;
                kube.heard(K::KIND);
                take(kube, event, &mut listed);
            }
            Err(error) => {
                if is_missing(&error) {
                    // e.g. ServiceCIDR before 1.33: there is nothing to wait for
                    kube.synced(K::KIND, "not served by this API server");
                    return;
                }
                kube.metrics.error(K::KIND);
                let error = daemon::log::chain(&error);
                if let Some(held_back) = lines.permit() {
                    tracing::warn!(
                        kind = K::KIND.as_str(),
                        error,
                        held_back,
                        "watch interrupted, the last state holds"
                    );
                }
                kube.failed(K::KIND, error);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn is_missing(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn take<K: Trimmed + Resource>(kube: &Kube, event: Event<K>, listed: &mut Option<HashSet<Box<str>>>) {
    match event {
        Event::Init => *listed = Some(HashSet::new()),
        Event::InitApply(object) => {
            if let (Some(uid), Some(listed)) = (object.meta().uid.as_deref(), listed) {
                listed.insert(uid.into());
            }
            keep(kube, object, true);
        }
        Event::InitDone => {
            let Some(listed) = listed.take() else { return };
            let gone = kube.read().others(K::KIND, &listed);
            for uid in gone {
                kube.remove(K::KIND, &uid, true);
            }
            kube.synced(K::KIND, "");
        }
        Event::Apply(object) => keep(kube, object, false),
        Event::Delete(object) => {
            if let Some(uid) = object.meta().uid.as_deref() {
                // its last state has how it ended
                let uid: Box<str> = uid.into();
                keep(kube, object, false);
                kube.remove(K::KIND, &uid, false);
            }
        }
    }
}

fn keep<K: Trimmed>(kube: &Kube, object: K, is_listed: bool) {
    let mut trim = Trim { labels: &kube.config.labels, cut: 0 };
    match object.trim(&mut trim) {
        Ok(object) => kube.apply(object, is_listed),
        Err(Unfit(reason)) => kube.metrics.refused(K::KIND, reason),
    }
    kube.metrics.cut(trim.cut);
}

impl Kube {
    fn change_state(&self, kind: Kind, change: impl FnOnce(&mut WatchState)) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut states[kind as usize]);
        let all = states.iter().all(|state| state.is_synced);
        drop(states);
        self.synced.send_if_modified(|synced| all && !std::mem::replace(synced, true));
    }

    fn heard(&self, kind: Kind) {
        let heard_ns = self.now_ns();
        self.change_state(kind, |state| {
            state.heard_ns = heard_ns;
            state.error.clear();
        });
        self.metrics.heard(kind);
    }

    fn failed(&self, kind: Kind, error: String) {
        self.change_state(kind, |state| state.error = error);
    }

    fn synced(&self, kind: Kind, note: &str) {
        self.change_state(kind, |state| {
            state.is_synced = true;
            state.error = note.to_owned();
        });
        self.metrics.objects(kind, self.read().count(kind));
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::ListSemantic;

    use super::{PAGE, lists};

    #[test]
    fn a_list_is_of_now_and_comes_in_pages() {
        let lists = lists();
        // from an older one, what is newer would be taken for deleted
        assert_eq!((lists.list_semantic, lists.page_size), (ListSemantic::MostRecent, Some(PAGE)));
    }
}
