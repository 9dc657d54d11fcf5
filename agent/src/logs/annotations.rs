//! Whether and how a log is read, as the annotations of its pod say: asked before each look at the log.
//!
//! In: the owner of a log. Out: a [`Reading`], and in [`Told`] how its lines are to be put together.
//! Invariants: the log of a pod that is not known is not read for `unknown_pods.wait_s`, so that no line of it goes
//! anywhere before its annotations are known; patterns are bounded in number and in size.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::v1::KubePod;
use regex::bytes::{Regex, RegexBuilder};

use crate::identity::Identities;
use crate::identity::pod_of::PodOf;
use crate::logs::config::{Then, UnknownPods};
use crate::logs::multiline::Multiline;
use crate::logs::status::LogStatus;
use crate::logs::wishes::{self, Joining};
use crate::window::sample::Owner;

/// Most different patterns of first lines on a node.
const MAX_PATTERNS: usize = 32;
/// Memory that one may take, compiled and at work.
const PATTERN_BYTES: usize = 256 << 10;
const ABOUT: &str = "annotation";

/// What is to be done with a log now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Its lines are read.
    #[default]
    On,
    /// It waits on disk: what its pod wants is not known yet.
    Waits,
    /// Its lines are passed over: the pod wants it so.
    Off,
    /// Its lines are passed over: nobody told what its pod wants.
    Unknown,
}

/// What was told of the pod of one log.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// When it was asked for first.
    since: Option<Duration>,
    /// The pod by which the wishes were made, and the container.
    by: Option<(Arc<KubePod>, String)>,
    /// Level and trace are not looked for in its text.
    pub(crate) is_plain: bool,
    /// Instead of what the config says.
    pub(crate) multiline: Option<Multiline>,
    pub(crate) reading: Reading,
}

impl Told {
    /// Since when it waits, if it does.
    pub(crate) fn waits_since(&self) -> Option<Duration> {
        self.since.filter(|_| self.reading == Reading::Waits)
    }
}

/// Whose annotations are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// Of this owner.
    Owner(&'a Owner),
    /// Of whoever writes the file: who that is was not looked for yet.
    Sought,
}

/// Asks for pods, and keeps the patterns that they want.
#[derive(Debug)]
pub(crate) struct Annotations {
    /// `None`: annotations do not count.
    pods: Option<Arc<Mutex<Identities>>>,
    unknown: UnknownPods,
    patterns: BTreeMap<String, Arc<Regex>>,
}

impl Annotations {
    /// `pods` is `None` where annotations do not count.
    pub(crate) fn new(pods: Option<Arc<Mutex<Identities>>>, unknown: UnknownPods) -> Self {
        Self { pods, unknown, patterns: BTreeMap::new() }
    }

    fn pod_of(&self, whose: Whose<'_>) -> PodOf {
        let Some(pods) = &self.pods else { return PodOf::None };
        let pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
        match whose {
            Whose::Owner(owner) => pods.pod_of(owner),
            Whose::Sought => pods.not_told(),
        }
    }

    /// What is to be done with an entry that cannot wait.
    pub(crate) fn at_once(&self, owner: &Owner) -> Reading {
        match (self.pod_of(Whose::Owner(owner)), self.unknown.then) {
            (PodOf::Known(pod, container), _) if wishes::of(&pod, &container).0.is_off => Reading::Off,
            (PodOf::Unnamed(pod), _) if wishes::of(&pod, "").0.is_off => Reading::Off,
            (PodOf::Unknown | PodOf::Unnamed(_), Then::Drop) => Reading::Unknown,
            (PodOf::Known(..) | PodOf::None | PodOf::Unknown | PodOf::Unnamed(_), _) => Reading::On,
        }
    }

    /// Brings `told` up to date. `path` is the log's, for what is said of its pod.
    pub(crate) fn ask(
        &mut self,
        whose: Whose<'_>,
        told: &mut Told,
        path: &Path,
        status: &LogStatus,
        now: Duration,
    ) {
        match self.pod_of(whose) {
            PodOf::Known(pod, container) => {
                let is_same =
                    told.by.as_ref().is_some_and(|(known, of)| Arc::ptr_eq(known, &pod) && *of == container);
                if !is_same {
                    self.take(&pod, &container, told, path, status);
                    told.by = Some((pod, container));
                }
            }
            // it has gone, and its log is still read
            PodOf::Unknown | PodOf::Unnamed(_) if told.by.is_some() => {}
            // a container that was not told yet has the pod's word until it has its own
            PodOf::Unnamed(pod) if wishes::of(&pod, "").0.is_off => told.reading = Reading::Off,
            PodOf::Unknown | PodOf::Unnamed(_) => {
                let since = *told.since.get_or_insert(now);
                let is_over = now.saturating_sub(since) >= Duration::from_secs(self.unknown.wait_s.into());
                told.reading = match (is_over, self.unknown.then) {
                    (false, _) => Reading::Waits,
                    (true, Then::Read) => Reading::On,
                    (true, Then::Drop) => Reading::Unknown,
                };
            }
            // nobody writes the file any more, who did is still known
            PodOf::None if told.by.is_some() && matches!(whose, Whose::Owner(Owner::File(_))) => {}
            PodOf::None => *told = Told::default(),
        }
    }

    fn take(&mut self, pod: &KubePod, container: &str, told: &mut Told, path: &Path, status: &LogStatus) {
        let (wishes, mut wrong) = wishes::of(pod, container);
        told.reading = if wishes.is_off { Reading::Off } else { Reading::On };
        told.multiline = match &wishes.joining {
            Joining::AsConfigured => None,
            Joining::Off => Some(Multiline::Off),
            Joining::Rules => Some(Multiline::Rules),
            Joining::FirstLine(pattern) => match self.pattern(pattern) {
                Ok(pattern) => Some(Multiline::FirstLine(pattern)),
                Err(why) => {
                    wrong.push(format!("wake.dev/logs.first-line: {why}"));
                    None
                }
            },
        };
        told.is_plain = wishes.is_plain;
        match wrong.is_empty() {
            true => status.works(ABOUT, path),
            false => {
                let sentence = format!("pod {}/{}: {}", pod.namespace, pod.name, wrong.join("; "));
                status.miss(ABOUT, path, sentence);
            }
        }
    }

    fn pattern(&mut self, text: &str) -> Result<Arc<Regex>, String> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(Arc::clone(known));
        }
        self.patterns.retain(|_, pattern| Arc::strong_count(pattern) > 1);
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(format!("more than {MAX_PATTERNS} different patterns on this node"));
        }
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).nest_limit(64);
        let pattern = builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => String::from("the pattern takes too much memory"),
            // its words draw the pattern over several lines
            _ => String::from("is no regular expression (Rust regex syntax)"),
        })?;
        let pattern = Arc::new(pattern);
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests;
