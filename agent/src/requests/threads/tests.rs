use super::{Context, IN_ORDER, JUST_ENDED, LIKELY, POLLED, SURE, TURN, Threads};

const ONE: (u32, u32) = (10, 11);
const OTHER: (u32, u32) = (10, 12);

fn context(number: u8) -> Context {
    Context { trace_id: [number; 16], span_id: [number; 8], parent: None }
}

#[test]
fn what_a_thread_asks_belongs_to_the_one_request_that_it_serves() {
    let mut threads = Threads::default();
    assert!(threads.serving(ONE).is_none());
    threads.begin(ONE, context(1), 5, false);
    assert_eq!(threads.asks(ONE), Some((context(1), SURE)));
    assert_eq!(threads.asks(ONE), Some((context(1), SURE)), "and whatever it asks then");
    assert!(threads.serving((20, 12)).is_none());
    threads.end(ONE, [1; 8], 9);
    assert!(threads.serving(ONE).is_none());
    threads.begin(ONE, context(2), 10, true);
    assert_eq!(threads.serving(ONE), Some((context(2), POLLED)));
}

#[test]
fn of_a_loop_it_is_the_request_that_was_read_last_and_of_several_the_first() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    assert_eq!(threads.asks(ONE), Some((context(1), POLLED)));
    threads.begin(ONE, context(2), 6, true);
    assert_eq!(threads.asks(ONE), Some((context(2), TURN)));
    assert_eq!(threads.asks(ONE), Some((context(2), TURN)), "it may ask several at once");
    threads.turn_over(ONE);
    assert_eq!(threads.asks(ONE), None, "a timer, of anybody");
    // an answer to the first one
    threads.read(ONE, [1; 8], SURE);
    assert_eq!(threads.asks(ONE), Some((context(1), TURN)));
    threads.begin(ONE, context(3), 7, true);
    threads.begin(ONE, context(4), 7, true);
    assert!(threads.logs(ONE, 8).is_none());
    assert_eq!(threads.asks(ONE), Some((context(3), IN_ORDER)));
    assert_eq!(threads.asks(ONE), Some((context(4), IN_ORDER)));
    assert_eq!(threads.asks(ONE), None, "four are open, and none has its turn");
}

#[test]
fn a_task_that_wandered_is_found_where_it_is_the_only_one() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    assert_eq!(threads.asks(OTHER), Some((context(1), LIKELY)));
    threads.begin(ONE, context(2), 5, true);
    // the first one has asked already
    assert_eq!(threads.asks((10, 13)), Some((context(2), IN_ORDER)));
    assert_eq!(threads.asks(OTHER), None);
    // it reads an answer, and so it has its turn there
    threads.read(OTHER, [2; 8], SURE);
    assert_eq!(threads.asks(OTHER), Some((context(2), TURN)));
    threads.answers(ONE, 12, [2; 8]);
    threads.end(ONE, [2; 8], 9);
    assert_eq!(threads.serving(ONE), Some((context(1), IN_ORDER)));
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
    assert!(threads.serving(ONE).is_none() && threads.threads.is_empty() && threads.processes.is_empty());
}

#[test]
fn one_that_reads_on_after_a_long_answer_is_no_loop() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, false);
    threads.answers(ONE, 11, [1; 8]);
    threads.begin(ONE, context(2), 6, false);
    assert_eq!(threads.serving(ONE), Some((context(2), SURE)));
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
    assert_eq!(threads.serving(ONE), Some((context(20), SURE)));
    // one that never answers what it has read is another matter
    for number in 21..30 {
        threads.begin(ONE, context(number), 8, false);
    }
    assert_ne!(threads.serving(ONE), Some((context(29), SURE)));
}

#[test]
fn what_follows_from_a_join_is_no_surer_than_it() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.begin(ONE, context(2), 5, true);
    assert_eq!(threads.asks(ONE), Some((context(1), IN_ORDER)));
    threads.read(ONE, [1; 8], IN_ORDER);
    assert_eq!(threads.asks(ONE), Some((context(1), IN_ORDER)));
}

#[test]
fn where_much_is_asked_in_nobodys_turn_turns_mean_nothing() {
    let mut threads = Threads::default();
    threads.begin(ONE, context(1), 5, true);
    threads.begin(ONE, context(2), 5, true);
    for _ in 0..8 {
        threads.turn_over(ONE);
        assert_eq!(threads.asks(ONE), None);
    }
    threads.begin(ONE, context(3), 6, true);
    assert_eq!(threads.asks(ONE), None, "a timer may have been between");
    for _ in 0..100 {
        threads.read(ONE, [3; 8], 1.0);
        threads.asks(ONE);
    }
    assert_eq!(threads.serving(ONE), Some((context(3), TURN)));
}
