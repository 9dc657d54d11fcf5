//! Streams of HTTP/2 on one connection: whose turn a call is by what it brings to them, and which goroutine serves or opens one.

use agent_common::requests::line::Line;
use agent_common::requests::{FLAG_CUT, FLAG_GOES_ON, FLAG_WAITED};

use super::Connection;
use super::places::Open;
use crate::decode::requests::Piece;
use crate::requests::context::Context;
use crate::requests::ids::Ids;
use crate::requests::protocol::Move;
use crate::requests::threads::Threads;

/// When it was told whose a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before its request.
    Early,
    /// While it was open.
    Now,
    /// When it was over, or of what nobody asks here.
    Late,
}

impl Connection {
    /// What a call has brought to streams: whose turn it is by that, and where those that begin stand.
    pub(super) fn moved(&mut self, piece: &Piece<'_>, moves: &[Move], threads: &mut Threads, ids: &mut Ids) {
        let header = &piece.header;
        let thread = (header.tgid, header.tid);
        if piece.is_request() && self.is_client && header.flags & FLAG_WAITED != 0 {
            threads.turn_over(thread);
        }
        let mut is_anybodys = false;
        // of several requests in one call it is not known which is whose
        // a call without bytes goes on with what another record has begun
        let begun = moves.iter().filter(|one| one.begins.is_some()).count();
        let is_alone = begun == 1 && header.total != 0 && header.flags & (FLAG_GOES_ON | FLAG_CUT) == 0;
        for one in moves {
            if let Some((start_ns, said)) = one.begins {
                let number = one.number;
                self.last_stream = self.last_stream.max(number);
                let (context, confidence) = if !self.is_client {
                    let context = Context::of_server(said, ids);
                    threads.begin_stream(thread, context, header.at_ns);
                    (context, None)
                } else if let Some((serving, sure)) = threads.opened((header.socket, header.born_ns, number))
                {
                    threads.wrote(thread);
                    threads.opened_for(header.tgid, serving);
                    let context = Context::of_client(said, Some(serving), ids);
                    (context, context.parent.map(|_| sure))
                } else {
                    self.asks(header, said, is_alone, threads, ids)
                };
                // whoever reads streams hands them on
                let open = Open {
                    number,
                    start_ns,
                    thread,
                    task: 0,
                    goroutine: 0,
                    said,
                    context,
                    confidence,
                    is_used: false,
                };
                self.places.keep(open, header.at_ns, threads);
                is_anybodys = true;
                continue;
            }
            let Some(open) = self.places.of_stream(one.number) else { continue };
            match (self.is_client, piece.is_request()) {
                (true, true) => is_anybodys = true,
                (true, false) => {
                    let Some(parent) = open.context.parent else { continue };
                    is_anybodys = true;
                    threads.read(thread, parent, open.confidence.unwrap_or(1.0));
                }
                (false, true) => threads.read(thread, open.context.span_id, 1.0),
                (false, false) => threads.answers(open.thread, header.tid, open.context.span_id),
            }
        }
        if self.is_client && !is_anybodys {
            threads.turn_over(thread);
        }
    }

    /// A goroutine begins to serve this stream.
    pub fn served(&mut self, number: u32, line: &Line, threads: &mut Threads) {
        if self.is_client {
            return;
        }
        if let Some(open) = self.places.of_stream(number) {
            // of one stream one goroutine is kept, or a program could take the room of all
            let by = (line.tgid, line.position);
            if open.goroutine != 0 && open.goroutine != by.1 {
                threads.serves_stream_no_more((by.0, open.goroutine), open.context.span_id);
                threads.serves_no_more((by.0, open.task), open.context.span_id);
            }
            (open.goroutine, open.task) = (by.1, line.workload);
            threads.serves_stream(by, open.context, line.at_ns);
            // what it writes itself, as to a database, is this one's too
            if line.workload != 0 {
                threads.serves((line.tgid, line.workload), open.context, line.at_ns);
            }
        }
    }

    /// A stream was opened for what is served here: whether its request is to come, or was told and is that one's child now.
    pub fn opened(&mut self, number: u32, serving: Context, threads: &mut Threads, ids: &mut Ids) -> When {
        if !self.is_client {
            return When::Late;
        }
        let Some(open) = self.places.of_stream(number) else {
            return if number > self.last_stream { When::Early } else { When::Late };
        };
        let context = Context::of_client(open.said, Some(serving), ids);
        let sure = threads.opened_for(open.thread.0, serving);
        // the span is who it was
        let span_id = if open.said.is_some() { context.span_id } else { open.context.span_id };
        open.context = Context { span_id, ..context };
        open.confidence = context.parent.map(|_| sure);
        When::Now
    }
}
