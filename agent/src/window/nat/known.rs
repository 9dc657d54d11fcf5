//! The translations of one reading, found by what was asked and by whom.
//!
//! A row with its client's port is a search in sorted entries; connections without one are added up once per service
//! and client, whatever the number of rows that ask.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::{End, Wanted};
use crate::decode::conntrack::Translation;

/// Most translations that are kept; more are counted and not looked at.
const MAX_ENTRIES: usize = 65_536;

/// Backends, each with how many connections went there.
pub(super) type Backends = BTreeMap<End, u64>;

/// The translations of one reading.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    by_asked: HashMap<(u8, End), Vec<Translation>>,
    /// Ids of the reading before.
    before: HashSet<u32>,
    now: HashSet<u32>,
    /// What was beyond `MAX_ENTRIES`.
    pub(crate) left_out: u64,
}

/// The connections of one client.
#[derive(Debug, Default)]
struct Tally {
    all: Backends,
    /// Those that are new since the last reading.
    fresh: Backends,
}

/// What is known of one service.
#[derive(Debug, Default)]
struct Service {
    by_client: HashMap<IpAddr, Tally>,
    /// The backend of all clients, if there is only one.
    only: Option<End>,
}

impl Translations {
    /// A new reading begins.
    pub(crate) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
        self.by_asked.clear();
        self.left_out = 0;
    }

    /// Only ids are kept until the next reading.
    pub(crate) fn end(&mut self) {
        self.by_asked = HashMap::new();
    }

    pub(crate) fn add(&mut self, translation: Translation) {
        if self.now.len() >= MAX_ENTRIES {
            self.left_out += 1;
            return;
        }
        self.now.insert(translation.id);
        self.by_asked.entry((translation.protocol, translation.asked)).or_default().push(translation);
    }

    /// Everything that was added, to be asked.
    pub(super) fn index(&mut self) -> Index<'_> {
        for entries in self.by_asked.values_mut() {
            entries.sort_unstable_by_key(|entry| (entry.client.1, entry.client.0));
        }
        Index { known: self, services: HashMap::new() }
    }

    fn entries(&self, asked: (u8, End)) -> &[Translation] {
        self.by_asked.get(&asked).map(Vec::as_slice).unwrap_or_default()
    }

    fn service(&self, asked: (u8, End)) -> Service {
        let entries = self.entries(asked);
        let mut by_client: HashMap<IpAddr, Tally> = HashMap::new();
        for entry in entries {
            let tally = by_client.entry(entry.client.0).or_default();
            *tally.all.entry(entry.real).or_default() += 1;
            if !self.before.contains(&entry.id) {
                *tally.fresh.entry(entry.real).or_default() += 1;
            }
        }
        let first = entries.first().map(|entry| entry.real);
        let only = first.filter(|real| entries.iter().all(|entry| entry.real == *real));
        Service { by_client, only }
    }
}

/// Sorted translations, and the services that were asked about.
pub(super) struct Index<'a> {
    known: &'a Translations,
    services: HashMap<(u8, End), Service>,
}

impl Index<'_> {
    /// The backends behind what a row asked for. `clients` are the addresses that its owner may have; where they are
    /// not known, only what is the same for every client is an answer. Connections that are new since the last reading
    /// count, where there are any.
    pub(super) fn backends(&mut self, wanted: &Wanted, clients: Option<&[IpAddr]>) -> Backends {
        let entries = self.known.entries(wanted.asked);
        if let (Some(clients), Some(port)) = (clients, wanted.client_port) {
            let mut found = Backends::new();
            for client in clients {
                let key = (port, *client);
                let from = entries.partition_point(|entry| (entry.client.1, entry.client.0) < key);
                let rest = entries.get(from..).unwrap_or_default();
                for entry in rest.iter().take_while(|entry| (entry.client.1, entry.client.0) == key) {
                    *found.entry(entry.real).or_default() += 1;
                }
            }
            return found;
        }
        let service = self.services.entry(wanted.asked).or_insert_with(|| self.known.service(wanted.asked));
        let Some(clients) = clients else {
            return service.only.map(|real| (real, 1)).into_iter().collect();
        };
        let tallies = || clients.iter().filter_map(|client| service.by_client.get(client));
        let some_fresh = tallies().any(|tally| !tally.fresh.is_empty());
        let mut found = Backends::new();
        for tally in tallies() {
            for (real, count) in if some_fresh { &tally.fresh } else { &tally.all } {
                *found.entry(*real).or_default() += count;
            }
        }
        found
    }
}
