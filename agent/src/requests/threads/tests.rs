use super::{Context, IN_ORDER, JUST_ENDED, LIKELY, POLLED, SURE, TURN, Threads};

const ONE: (u32, u32) = (10, 11);
const OTHER: (u32, u32) = (10, 12);

fn context(number: u8) -> Context {
    Context { trace_id: [number; 16], span_id: [number; 8], parent: None }
}

#[test]
fn what_a_thread_asks_belongs_to_the_one_request_that_it_serves() {
    let mut threads = Threads::default();
    assert!(threads.serving(ONE, 9).is_none());
    threads.begin(ONE, context(1), 5, false);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), SURE)));
    assert_eq!(threads.asks(ONE, 9), Some((context(1), SURE)), "and whatever it asks then");
    assert!(threads.serving((20, 12), 9).is_none());
    threads.end(ONE, [1; 8], 9);
    assert!(threads.serving(ONE, 9).is_none());
    threads.begin(ONE, context(2), 10, true);
    assert_eq!(threads.serving(ONE, 9), Some((context(2), POLLED)));
}

#[test]
fn of_a_loop_it_is_the_request_that_was_read_last_and_of_several_the_first() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), POLLED)));
    threads.begin(ONE, context(2), 6, true);
    assert_eq!(threads.asks(ONE, 9), Some((context(2), TURN)));
    assert_eq!(threads.asks(ONE, 9), Some((context(2), TURN)), "it may ask several at once");
    threads.turn_over(ONE);
    assert_eq!(threads.asks(ONE, 9), None, "a timer, of anybody");
    // an answer to the first one
    threads.read(ONE, [1; 8], SURE);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), TURN)));
    threads.begin(ONE, context(3), 7, true);
    threads.begin(ONE, context(4), 7, true);
    assert!(threads.logs(ONE, 8).is_none());
    assert_eq!(threads.asks(ONE, 9), Some((context(3), IN_ORDER)));
    assert_eq!(threads.asks(ONE, 9), Some((context(4), IN_ORDER)));
    assert_eq!(threads.asks(ONE, 9), None, "four are open, and none has its turn");
}

#[test]
fn a_task_that_wandered_is_found_where_it_is_the_only_one() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    assert_eq!(threads.asks(OTHER, 9), Some((context(1), LIKELY)));
    threads.begin(ONE, context(2), 5, true);
    // the first one has asked already
    assert_eq!(threads.asks((10, 13), 9), Some((context(2), IN_ORDER)));
    assert_eq!(threads.asks(OTHER, 9), None);
    // it reads an answer, and so it has its turn there
    threads.read(OTHER, [2; 8], SURE);
    assert_eq!(threads.asks(OTHER, 9), Some((context(2), TURN)));
    threads.answers(ONE, 12, [2; 8]);
    threads.end(ONE, [2; 8], 9);
    assert_eq!(threads.serving(ONE, 9), Some((context(1), IN_ORDER)));
    assert!(!threads.may_have_asked([2; 8], 10) && threads.may_have_asked([2; 8], 9));
    assert!(threads.may_have_asked([1; 8], 10));
}

#[test]
fn a_line_is_about_what_is_served_or_was_just_answered() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, false);
    assert_eq!(threads.logs(ONE, 6), Some((context(1), SURE)));
    assert!(threads.logs(OTHER, 6).is_none(), "another thread may do anything");
    threads.end(ONE, [1; 8], 100);
    assert_eq!(threads.logs(ONE, 101), Some((context(1), JUST_ENDED)));
    assert!(threads.logs(ONE, 100 + super::AFTER_NS + 1).is_none());
    threads.begin(ONE, context(2), 102, false);
    assert_eq!(threads.logs(ONE, 103), Some((context(2), SURE)));
}

#[test]
fn what_is_quiet_is_forgotten() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, false);
    threads.forget(7);
    assert!(threads.serving(ONE, 9).is_none() && threads.threads.is_empty() && threads.processes.is_empty());
}

#[test]
fn one_that_reads_on_after_a_long_answer_is_no_loop() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, false);
    threads.answers(ONE, 11, [1; 8]);
    threads.begin(ONE, context(2), 6, false);
    assert_eq!(threads.serving(ONE, 9), Some((context(2), SURE)));
}

#[test]
fn an_answer_that_was_not_seen_makes_no_loop_of_a_thread_that_waits_in_its_calls() {
    let mut threads = Threads::default();
    for number in 1..20 {
        threads.begin(ONE, context(number), 5, false);
        if number != 7 {
            threads.end(ONE, [number; 8], 6);
        }
    }
    threads.begin(ONE, context(20), 7, false);
    assert_eq!(threads.serving(ONE, 9), Some((context(20), SURE)));
    // one that never answers what it has read is another matter
    for number in 21..30 {
        threads.begin(ONE, context(number), 8, false);
    }
    assert_ne!(threads.serving(ONE, 9), Some((context(29), SURE)));
}

#[test]
fn what_follows_from_a_join_is_no_surer_than_it() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.begin(ONE, context(2), 5, true);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), IN_ORDER)));
    threads.read(ONE, [1; 8], IN_ORDER);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), IN_ORDER)));
}

#[test]
fn where_much_is_asked_in_nobodys_turn_turns_mean_nothing() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.begin(ONE, context(2), 5, true);
    for _ in 0..8 {
        threads.turn_over(ONE);
        assert_eq!(threads.asks(ONE, 9), None);
    }
    threads.begin(ONE, context(3), 6, true);
    assert_eq!(threads.asks(ONE, 9), None, "a timer may have been between");
    for _ in 0..100 {
        threads.read(ONE, [3; 8], 1.0);
        threads.asks(ONE, 9);
    }
    assert_eq!(threads.serving(ONE, 9), Some((context(3), TURN)));
}

#[test]
fn of_streams_the_one_that_was_read_last_and_alone_has_its_turn() {
    let mut threads = Threads::default();
    threads.begin_stream(ONE, context(1), 5);
    assert_eq!(threads.asks(ONE, 9), Some((context(1), TURN)), "never a thread's alone");
    threads.begin_stream(ONE, context(2), 6);
    assert_eq!(threads.asks(ONE, 9), Some((context(2), TURN)));
    // two that came in one call: which one asks first is not known, and no sign that turns mean nothing
    threads.begin_stream(ONE, context(3), 7);
    threads.begin_stream(ONE, context(4), 7);
    for _ in 0..20 {
        assert_eq!(threads.asks(ONE, 9), None);
        assert_eq!(threads.asks_with_others(ONE, 9), None);
    }
    threads.read(ONE, [3; 8], 1.0);
    assert_eq!(threads.asks(ONE, 9), Some((context(3), TURN)));
    for number in 1..4 {
        threads.end(ONE, [number; 8], 10);
    }
    assert_eq!(threads.asks_with_others(OTHER, 11), Some((context(4), LIKELY)));
    // one that stays open has no part in what is asked much later
    assert_eq!(threads.asks(OTHER, 5 + super::process::ALONE_NS + 2), None);
}

#[test]
fn a_goroutine_that_serves_is_found_behind_the_one_that_writes() {
    let (serves, writes) = (0xc000_1000, 0xc000_2000);
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.serves((10, serves), context(1), 5);
    assert_eq!(threads.asks_by_task(ONE, serves, 70, 6), None, "not known to be Go");
    threads.hands((10, serves), 70, 6);
    threads.begin(ONE, context(2), 7, true);
    threads.serves((10, serves), context(2), 7);
    threads.begin(ONE, context(3), 7, true);
    // another goroutine writes it, on another thread
    threads.hands((10, serves), 70, 8);
    assert_eq!(threads.asks_by_task((20, 12), writes, 70, 9), None, "another process");
    assert_eq!(threads.asks_by_task(OTHER, writes, 70, 9), Some((context(2), SURE)));
    assert_eq!(threads.asks_by_task(OTHER, writes, 70, 9), None, "once");
    assert_eq!(threads.asks_by_task(OTHER, serves, 71, 9), Some((context(2), SURE)), "by itself");
    // answered, or read on by another one
    threads.serves_no_more((10, serves), [2; 8]);
    assert_eq!(threads.asks_by_task(OTHER, serves, 71, 9), None);
    threads.serves((10, serves), context(3), 9);
    threads.end(ONE, [3; 8], 10);
    assert_eq!(threads.asks_by_task(OTHER, serves, 71, 11), None, "over by then");
    threads.hands((10, serves), 72, 11);
    threads.hands((10, writes), 72, 12);
    assert_eq!(threads.asks_by_task(OTHER, 0, 72, 13), None, "who hands it over serves nobody");
}

#[test]
fn a_goroutine_is_not_believed_where_it_may_be_anothers() {
    let (serves, writes) = (0xc000_1000, 0xc000_2000);
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.begin(ONE, context(2), 5, true);
    threads.hands((10, serves), 70, 6);
    threads.serves((10, serves), context(1), 6);
    threads.serves((10, writes), context(2), 6);
    // a check of its own, over a connection that a goroutine writes which has read another request's body
    threads.hands((10, 0xc000_3000), 70, 7);
    assert_eq!(threads.asks_by_task(OTHER, writes, 70, 8), None);
    // two wait for one connection
    threads.hands((10, serves), 71, 8);
    threads.hands((10, writes), 71, 9);
    assert_eq!(threads.asks_by_task(OTHER, writes, 71, 10), None);
    // the connection is over, and its socket another's
    threads.hands((10, serves), 72, 10);
    threads.hands_no_more(72);
    assert_eq!(threads.asks_by_task(OTHER, 0, 72, 11), None);
    // the end of what it served was never told
    let later = 7 + super::process::ALONE_NS;
    assert_eq!(threads.asks_by_task(OTHER, serves, 73, later), None);
    // calls that a goroutine tells do not make turns believable
    for number in 0..100 {
        threads.hands((10, serves), 74, 12 + number);
        threads.asks_by_task(OTHER, 0, 74, 12 + number);
    }
    assert!(threads.processes.get(&10).is_some_and(|process| process.calls == 0));
}
