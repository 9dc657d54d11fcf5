//! Goroutines: which request each of them serves, and for whom one has handed a request to a connection that another one writes.
//!
//! A goroutine that has read a request serves it until it is answered, whatever thread it runs on; what it asks meanwhile
//! is that request's. Only of processes that are known to be made by Go: elsewhere `Header.task` means nothing.

use super::process::ALONE_NS;
use super::{Context, SURE, Thread, Threads};
use crate::requests::hash::Table;

/// Most goroutines that serve, and most connections that somebody is about to ask over.
const MOST_TASKS: usize = 16_384;
/// How long a request may take from who asks to who writes it.
const HANDED_NS: u64 = 10_000_000_000;
/// For how long a process is known to be Go's after a goroutine of it was heard of: its number may be another's one day.
const KNOWN_NS: u64 = 600_000_000_000;

/// A goroutine: its process, and where its struct is.
pub type Task = (u32, u64);

#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Since when, too: the end of a request may be lost, and the place of a goroutine be another's later.
    serving: Table<Task, (Context, u64)>,
    /// By the connection's socket.
    handed: Table<u64, Handed>,
}

#[derive(Debug)]
struct Handed {
    by: Task,
    /// `None` if it is for nobody who serves, or nobody can tell for whom.
    context: Option<Context>,
    at_ns: u64,
}

impl Threads {
    /// A goroutine has read a request.
    pub fn serves(&mut self, task: Task, context: Context, at_ns: u64) {
        if !self.has_tasks(task.0, at_ns) {
            return;
        }
        if self.tasks.serving.len() >= MOST_TASKS {
            self.tasks.serving.clear();
        }
        self.tasks.serving.insert(task, (context, at_ns));
    }

    /// What it has read is answered, or another one goes on with it.
    pub fn serves_no_more(&mut self, task: Task, span_id: [u8; 8]) {
        let serving = &mut self.tasks.serving;
        if serving.get(&task).is_some_and(|(context, _)| context.span_id == span_id) {
            serving.remove(&task);
        }
    }

    /// A goroutine is over with what it serves, answered or not: its struct may be another's at once.
    pub fn is_done(&mut self, task: Task) {
        self.tasks.serving.remove(&task);
    }

    /// A goroutine of this process was heard of.
    pub fn is_of_go(&mut self, process: u32, at_ns: u64) {
        if let Some(process) = self.processes.get_mut(&process) {
            process.has_tasks_ns = Some(at_ns);
        }
    }

    /// Whom a goroutine serves that asks for something now.
    pub fn served_at(&self, task: Task, at_ns: u64) -> Option<Context> {
        let context = self.tasks.serves(task, at_ns)?;
        self.may_have_asked(context.span_id, at_ns).then_some(context)
    }

    /// A goroutine has handed a request to this connection: its process is one of Go's.
    pub fn hands(&mut self, task: Task, socket: u64, at_ns: u64) {
        self.is_of_go(task.0, at_ns);
        if self.tasks.handed.len() >= MOST_TASKS {
            self.tasks.handed.clear();
        }
        let context = self.tasks.serves(task, at_ns);
        let id = |context: Option<Context>| context.map(|context| context.span_id);
        let waits = self.tasks.handed.get(&socket).filter(|other| other.is_of(task.0, at_ns));
        // another one waits for this connection still: nobody can tell who writes first
        let is_mixed = waits.is_some_and(|other| other.by != task && id(other.context) != id(context));
        let context = context.filter(|_| !is_mixed);
        self.tasks.handed.insert(socket, Handed { by: task, context, at_ns });
    }

    /// The connection is over; its socket may be another's soon.
    pub fn hands_no_more(&mut self, socket: u64) {
        self.tasks.handed.remove(&socket);
    }

    /// What a request is asked for that is written now: by whom it was handed over, else by the goroutine that writes it. Who
    /// hands it over and serves nobody may be another goroutine of who does: then its writer says nothing either.
    pub fn asks_by_task(
        &mut self,
        thread: Thread,
        task: u64,
        socket: u64,
        at_ns: u64,
    ) -> Option<(Context, f64)> {
        if !self.has_tasks(thread.0, at_ns) {
            return None;
        }
        let handed = self.tasks.handed.remove(&socket).filter(|handed| handed.is_of(thread.0, at_ns));
        let context = match handed {
            Some(handed) => handed.context?,
            None => self.tasks.serves((thread.0, task), at_ns)?,
        };
        if !self.may_have_asked(context.span_id, at_ns) {
            return None;
        }
        // it says nothing of whether turns can be believed
        self.asks_for(thread, Some(context.span_id));
        Some((context, SURE))
    }

    fn has_tasks(&self, process: u32, at_ns: u64) -> bool {
        let heard = self.processes.get(&process).and_then(|process| process.has_tasks_ns);
        heard.is_some_and(|heard| at_ns.saturating_sub(heard) < KNOWN_NS)
    }
}

impl Tasks {
    fn serves(&self, task: Task, at_ns: u64) -> Option<Context> {
        let (context, since) = self.serving.get(&task)?;
        (at_ns.saturating_sub(*since) < ALONE_NS).then_some(*context)
    }

    /// What is older is nobody's any more.
    pub(super) fn forget(&mut self, before_ns: u64) {
        self.serving.retain(|_, (_, since)| *since >= before_ns);
        self.handed.retain(|_, handed| handed.at_ns >= before_ns);
    }
}

impl Handed {
    fn is_of(&self, process: u32, at_ns: u64) -> bool {
        self.by.0 == process && at_ns.saturating_sub(self.at_ns) < HANDED_NS
    }
}
