//! Batches on their way out that have not been on disk: what an endpoint takes within moments needs no place there.
//!
//! In: closed batches without places in logs. Out: the same to the sender, oldest first; to the spool what was not delivered
//! within `PATIENCE`, what is left at the end, and what finds no room here.
//! With the process goes what came in the last moments, as do the rows of the window under way. Only for endpoints of OTLP,
//! whose requests have no numbers: an aggregator is sent nothing that is not on disk, or it could not tell repeats.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::export::batch::Unpacked;
use crate::export::spool::BatchId;

/// How long a batch waits to be delivered.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// And one for which there was no room on disk for so long again.
const PAUSE: Duration = Duration::from_millis(250);

/// The batches that wait, as writer and sender share them.
#[derive(Clone, Debug, Default)]
pub struct Direct(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    most: usize,
    next: u64,
    /// What the sender has in hand, and under which number it was spooled meanwhile.
    in_hand: Option<(u64, Option<BatchId>)>,
}

#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    content: Unpacked,
    since: Duration,
    length: usize,
}

/// Which batch, and whether the sender has taken it.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    number: u64,
    /// The sender delivers it, or has done so.
    pub is_taken: bool,
}

impl Direct {
    /// For at most so many bytes; by default of none, so that all goes to the spool.
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Waiting { most, ..Waiting::default() })))
    }

    /// Takes a batch, unless it must be spooled.
    ///
    /// # Errors
    /// The batch, if there is no room for it or it holds places in logs.
    pub fn offer(&self, mut content: Unpacked, now: Duration) -> Result<(), Box<Unpacked>> {
        let mut waiting = self.lock();
        if waiting.most == 0 || content.has_marks() {
            return Err(Box::new(content));
        }
        let length = content.encoded().len();
        if waiting.bytes + length > waiting.most {
            return Err(Box::new(content));
        }
        let ticket = Ticket { number: waiting.next, is_taken: false };
        waiting.next += 1;
        waiting.bytes += length;
        waiting.batches.push_back(Batch { ticket, content, since: now, length });
        Ok(())
    }

    /// The oldest batch, which stays until it is `done`; for one sender, which has no other in hand.
    pub fn next(&self) -> Option<(u64, Bytes)> {
        let mut waiting = self.lock();
        let batch = waiting.batches.front_mut()?;
        batch.ticket.is_taken = true;
        let next = (batch.ticket.number, batch.content.encoded());
        waiting.in_hand = Some((next.0, None));
        Some(next)
    }

    /// The sender has done with a batch. Its number on disk if it was spooled meanwhile, to be acknowledged there; else the
    /// rows that were never there.
    pub fn done(&self, number: u64) -> Result<BTreeMap<&'static str, u64>, BatchId> {
        let mut waiting = self.lock();
        let mut rows = BTreeMap::new();
        if let Some(batch) = waiting.batches.pop_front_if(|first| first.ticket.number == number) {
            waiting.bytes -= batch.length;
            rows = batch.content.rows();
        }
        waiting.in_hand.take().and_then(|(_, spooled)| spooled).map_or(Ok(rows), Err)
    }

    /// The oldest batch if it was not delivered in time, or `all` are to be spooled.
    pub fn overdue(&self, now: Duration, all: bool) -> Option<(Ticket, Unpacked)> {
        let mut waiting = self.lock();
        let batch = waiting.batches.pop_front_if(|first| all || now >= first.since + PATIENCE)?;
        waiting.bytes -= batch.length;
        Some((batch.ticket, batch.content))
    }

    /// When the oldest one is overdue.
    pub fn due_at(&self) -> Option<Duration> {
        self.lock().batches.front().map(|first| first.since + PATIENCE)
    }

    /// An overdue batch was spooled. Whether it was delivered meanwhile, and is to be acknowledged.
    pub fn spooled(&self, ticket: Ticket, id: BatchId) -> bool {
        match &mut self.lock().in_hand {
            Some((number, spooled)) if *number == ticket.number => {
                *spooled = Some(id);
                false
            }
            // what was taken and is in hand no more is done
            _ => ticket.is_taken,
        }
    }

    /// An overdue batch found no room on disk. The sender has it in hand still: it waits on, so that it is not gone with the
    /// process. `None` then; else its rows, delivered meanwhile, or the batch that nobody has taken.
    ///
    /// # Errors
    /// That batch.
    pub fn refused(
        &self,
        ticket: Ticket,
        mut content: Box<Unpacked>,
        now: Duration,
    ) -> Result<Option<BTreeMap<&'static str, u64>>, Box<Unpacked>> {
        if !ticket.is_taken {
            return Err(content);
        }
        let mut waiting = self.lock();
        if waiting.in_hand.is_none_or(|(number, _)| number != ticket.number) {
            return Ok(Some(content.rows()));
        }
        let length = content.encoded().len();
        waiting.bytes += length;
        // tried again soon: others wait behind it, and there may be room
        let since = (now + PAUSE).saturating_sub(PATIENCE);
        waiting.batches.push_front(Batch { ticket, content: *content, since, length });
        Ok(None)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().batches.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::v1;

    use super::{Direct, PATIENCE};
    use crate::export::batch::Unpacked;

    const NOW: Duration = Duration::from_secs(9);

    fn batch(count: u64) -> Unpacked {
        Unpacked::of_losses(vec![v1::LossRow { count, reason: "x".repeat(90), ..v1::LossRow::default() }])
    }

    #[test]
    fn what_finds_no_room_is_given_back() {
        assert!(Direct::default().offer(batch(1), NOW).is_err());
        let direct = Direct::of(250);
        assert!(direct.offer(batch(1), NOW).is_ok() && direct.offer(batch(2), NOW).is_ok());
        assert_eq!(direct.offer(batch(3), NOW).unwrap_err().payload.losses[0].count, 3);
        let (number, _) = direct.next().unwrap();
        assert!(direct.done(number).is_ok() && direct.offer(batch(4), NOW).is_ok());
    }

    #[test]
    fn a_batch_is_delivered_or_overdue() {
        let direct = Direct::of(1 << 20);
        for count in 0..3 {
            direct.offer(batch(count), NOW).unwrap();
        }
        assert!(direct.overdue(NOW + PATIENCE - Duration::from_millis(1), false).is_none());
        let (first, payload) = direct.next().unwrap();
        assert_eq!(payload, batch(0).encoded());
        assert!(direct.done(first).is_ok());
        let (ticket, content) = direct.overdue(NOW + PATIENCE, false).unwrap();
        assert_eq!((content.payload.losses[0].count, ticket.is_taken), (1, false));
        assert!(!direct.spooled(ticket, (1, 1)), "it is sent from the disk");
        assert!(direct.overdue(NOW, true).is_some() && direct.is_empty() && direct.next().is_none());
    }

    #[test]
    fn what_is_in_hand_and_finds_no_room_on_disk_waits_on() {
        let late = NOW + PATIENCE;
        for is_done_first in [false, true] {
            let direct = Direct::of(1 << 20);
            direct.offer(batch(0), NOW).unwrap();
            direct.offer(batch(1), NOW).unwrap();
            let (number, _) = direct.next().unwrap();
            let (ticket, content) = direct.overdue(late, false).unwrap();
            let (other, next) = direct.overdue(late, false).unwrap();
            assert_eq!(direct.refused(other, next.into(), late).unwrap_err().payload.losses[0].count, 1);
            if is_done_first {
                assert!(direct.done(number).is_ok());
                assert!(direct.refused(ticket, content.into(), late).unwrap().is_some() && direct.is_empty());
                continue;
            }
            assert!(direct.refused(ticket, content.into(), late).unwrap().is_none());
            assert!(direct.overdue(late, false).is_none(), "it has time again");
            let (again, content) = direct.overdue(late, true).unwrap();
            assert!(again.number == number && content.payload.losses[0].count == 0);
            assert!(direct.refused(again, content.into(), late).unwrap().is_none());
            assert!(direct.done(number).is_ok() && direct.is_empty(), "as one that was never taken out");
        }
    }

    #[test]
    fn what_is_spooled_while_it_is_sent_is_acknowledged_once() {
        let direct = Direct::of(1 << 20);
        for is_done_first in [false, true] {
            direct.offer(batch(0), NOW).unwrap();
            let (number, _) = direct.next().unwrap();
            let (ticket, _) = direct.overdue(NOW + PATIENCE, false).unwrap();
            assert!(ticket.is_taken && direct.is_empty());
            if is_done_first {
                assert!(direct.done(number).is_ok() && direct.spooled(ticket, (1, 2)));
            } else {
                assert!(!direct.spooled(ticket, (1, 2)));
                assert_eq!(direct.done(number), Err((1, 2)));
            }
        }
    }
}
