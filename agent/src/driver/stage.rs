//! What comes out of the probes goes through the stages: events as they come, sums when a window ends.

use super::budget::Counted;
use super::events::{is_event, redact_events, take_events};
use super::governor::Part;
use super::tree::Mended;
use super::{Attached, Driver, lock};
use crate::export::writer::{ITEM_ROWS, Item};
use crate::files::Usage;
use crate::metrics::labels::ExtentLabels;
use crate::probe::Sink;
use crate::window::assemble::{Named, signal, table};
use crate::window::current::Current;
use crate::window::peers;
use crate::window::sample::{CgroupEvent, Loss};

/// Cgroups whose files are read between windows because a process of theirs ended.
const STALE_READS: usize = 64;
/// After a window of more rows, freed memory is given back.
const BURST_ROWS: usize = 4_000;

impl Driver {
    /// Handles what the sink holds: events first, then rows that need no window.
    pub(super) fn pass(&mut self, sink: &mut Sink) {
        let now = self.clock.monotonic();
        let mut identities = lock(&self.identities);
        identities.tick(now);
        let is_lost = sink.cgroups.contains(&CgroupEvent::Lost);
        let mut ends = Vec::new();
        for event in sink.cgroups.drain(..) {
            identities.apply(&event, now);
            match (&mut self.usage, &event) {
                // what its processes used is booked first
                (Some(_), CgroupEvent::Removed { .. }) => ends.push(event),
                (Some(usage), _) => usage.apply(&event, true),
                (None, _) => {}
            }
        }
        let has_events = self.states.is_running("cgroups");
        if let Some(tree) = &mut self.tree
            && tree.is_due(now, is_lost, has_events, self.assembler.is_waiting())
        {
            for Mended { event, is_new } in tree.walk(&mut identities, now) {
                if let Some(usage) = &mut self.usage {
                    usage.apply(&event, is_new);
                }
            }
        }
        let mut losses = std::mem::take(&mut sink.losses);
        let mut events = take_events(&mut sink.samples);
        redact_events(&mut events, &self.rules);
        if let Some(usage) = &mut self.usage {
            self.exits.book(usage, &mut identities, &events);
            usage.read_stale(STALE_READS);
            for event in &ends {
                usage.apply(event, false);
            }
        }
        let mut rows = self.assembler.retry(&mut identities, now, &mut losses);
        rows.append(&mut self.assembler.pass(events, &mut identities, now, &mut losses));
        drop(identities);
        self.hand_over(rows, &mut losses);
    }

    /// The window has ended: everything that was summed up in it goes out. Returns the one that is open from now on.
    pub(super) fn close(&mut self, probes: &mut Vec<Attached>, sink: &mut Sink, open: Current) -> Current {
        let started = self.clock.monotonic();
        let (window, extent, next) = open.close(self.clock.now_unix_ns(), started);
        let labels = ExtentLabels { extent: extent.as_str().to_owned() };
        self.metrics.windows.get_or_create(&labels).inc();
        self.drain(probes, sink, window);
        // events that a drain found are older than its rows
        let samples = std::mem::take(&mut sink.samples);
        let (samples, events): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|sample| !is_event(&sample.row));
        sink.samples = events;
        self.pass(sink);
        let counted = Counted::of(&samples, self.timing(probes));
        let mut losses = self.shed_losses(&samples);
        if let Some(usage) = &mut self.usage {
            self.exits.close(usage);
        }
        let usage = self.usage.as_mut().map(Usage::read).unwrap_or_default();
        let now = self.clock.monotonic();
        let mut rows = {
            let mut identities = lock(&self.identities);
            identities.expire(now);
            self.assembler.fold_peers(self.budget.is_shed(Part::Peers));
            self.assembler.close(window, samples, usage, &mut identities, now, &mut losses)
        };
        let max_rows = self.assembler.max_rows();
        self.nat.fill(&mut rows, max_rows, &self.identities, &self.states, &mut losses, &self.clock);
        peers::fill(&mut rows, self.addresses.get(now));
        let is_burst = rows.len() > BURST_ROWS;
        self.hand_over(rows, &mut losses);
        self.workloads.expire(now);
        let ledger = self.ledger.take(window);
        if !ledger.is_empty() {
            self.send(Item::Losses(ledger));
        }
        if is_burst {
            crate::kernel::memory::give_back();
        }
        self.keep_budget(probes, &counted);
        self.measure(probes);
        self.metrics.window_seconds.observe((self.clock.monotonic() - started).as_secs_f64());
        next
    }

    fn hand_over(&mut self, rows: Vec<Named>, losses: &mut Vec<Loss>) {
        if !rows.is_empty() {
            self.workloads.add(&rows, self.clock.monotonic());
            let mut counts = std::collections::BTreeMap::<&'static str, u64>::new();
            for named in &rows {
                *counts.entry(table(&named.row)).or_default() += named.row.count();
            }
            for (table, count) in counts {
                self.metrics.count("window", table, count);
            }
            let (mut item, mut count) = (Vec::new(), 0);
            for named in rows {
                count += named.row.count();
                item.push(named);
                if count >= ITEM_ROWS {
                    self.send(Item::Rows(std::mem::take(&mut item)));
                    count = 0;
                }
            }
            if !item.is_empty() {
                self.send(Item::Rows(item));
            }
        }
        for loss in losses.drain(..) {
            self.ledger.add(&loss);
        }
    }

    fn send(&self, item: Item) {
        let Some(items) = &self.items else { return };
        let Err(error) = items.try_send(item) else { return };
        match error.into_inner() {
            Item::Rows(rows) => {
                for named in rows {
                    let (signal, count) = (signal(table(&named.row)), named.row.count());
                    self.ledger.add(&Loss { signal, stage: "window", reason: "queue_full", count });
                }
            }
            Item::Losses(rows) => self.ledger.put_back(&rows),
        }
    }
}
