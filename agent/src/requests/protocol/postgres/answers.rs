//! Answers of PostgreSQL: what ends a query, an Execute, a batch, and what an error leaves out.

use super::{Postgres, Until, message};
use crate::requests::protocol::Exchange;

impl Postgres {
    pub(super) fn answered(&mut self, bytes: &[u8], began: u64, ts_ns: u64, out: &mut Vec<Exchange>) {
        let kind = bytes.first().copied().unwrap_or(0);
        // Notices, notifications and settings come at any time.
        if matches!(kind, b'N' | b'A' | b'S') {
            return;
        }
        if let Some(open) = self.pending.front() {
            open.answered = true;
            open.exchange.first_byte_ns.get_or_insert(began);
            open.exchange.end_ns = ts_ns;
        }
        match kind {
            b'E' => self.failed(message::sqlstate(bytes), ts_ns, out),
            b'C' | b'I' | b's' if self.pending.front().is_some_and(|open| open.until == Until::Complete) => {
                self.finish(ts_ns, out);
            }
            b'Z' => {
                self.blind = false;
                self.ready(ts_ns, out);
            }
            _ => {}
        }
    }

    /// What follows up to the Sync is not run.
    fn failed(&mut self, state: Option<&str>, ts_ns: u64, out: &mut Vec<Exchange>) {
        let Some(open) = self.pending.front() else { return };
        if open.until == Until::Sync {
            return;
        }
        let exchange = &mut open.exchange;
        exchange.failed = true;
        let state = state.unwrap_or("_OTHER");
        exchange.error_type = Some(state.to_owned());
        exchange.attributes.set("db.response.status_code", state);
        match open.until {
            Until::Complete => {
                self.finish(ts_ns, out);
                while self.pending.front().is_some_and(|open| open.until == Until::Complete) {
                    self.pending.pop();
                }
            }
            // A login that was refused is told.
            Until::Ready { .. } => open.until = Until::Ready { silent: false },
            Until::Sync => {}
        }
    }

    fn ready(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        // An Execute whose end was not seen is before its Sync.
        while self.pending.front().is_some_and(|open| open.until == Until::Complete) {
            self.finish(ts_ns, out);
        }
        match self.pending.front().map(|open| open.until) {
            Some(Until::Ready { silent: false }) => self.finish(ts_ns, out),
            _ => drop(self.pending.pop()),
        }
    }

    fn finish(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Some(mut open) = self.pending.pop() {
            open.exchange.end_ns = ts_ns.max(open.exchange.start_ns);
            open.exchange.at_least |= std::mem::take(&mut self.lost);
            out.push(open.exchange);
        }
    }

    /// Answers were missed: what was under way is over, and the answers of what followed were among them.
    pub(super) fn finish_answered(&mut self, out: &mut Vec<Exchange>) {
        let open: Vec<_> = self.pending.drain().collect();
        let end_ns = open.iter().filter(|open| open.answered).map(|open| open.exchange.end_ns).max();
        for mut open in open {
            let told = !matches!(open.until, Until::Sync | Until::Ready { silent: true });
            if let Some(end_ns) = end_ns.filter(|_| told) {
                open.exchange.end_ns = end_ns.max(open.exchange.start_ns);
                open.exchange.at_least |= std::mem::take(&mut self.lost);
                out.push(open.exchange);
            }
        }
    }
}
