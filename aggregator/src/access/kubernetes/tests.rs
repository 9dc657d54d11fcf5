use std::time::Duration;

use daemon::clock::Clock;
use store::Scope;

use super::{Answers, MOST_TOKENS, NEW_AT_ONCE, Reviews, may_be_token};
use crate::access::digest;
use crate::access::{Caller, Denied, MOST_TOKEN_BYTES, Token};

#[test]
fn tokens_that_are_nobodys_push_out_no_answer() {
    let (answers, until) = (Answers::new(), Duration::from_secs(30));
    let dev = digest::of(&Token::new("dev"));
    answers.put(dev, &Ok(Caller::new("dev", Vec::new(), Scope::namespaces(["shop"]))), until);
    let forged = |number: usize| digest::of(&Token::new(format!("forged-{number}")));
    for number in 0..=MOST_TOKENS {
        answers.put(forged(number), &Err(Denied::Invalid(String::new())), until);
    }
    let answer = |token| answers.get(&token, Duration::ZERO);
    assert!(answer(dev).is_some_and(|answer| answer.is_ok()));
    assert!(answer(forged(0)).is_none() && answer(forged(MOST_TOKENS)).is_some_and(|answer| answer.is_err()));
}

#[test]
fn what_cannot_be_a_token_is_not_asked_for() {
    for good in ["abc", "sha256~x_y-z", "abcdef.0123456789abcdef", "a.b.c=="] {
        assert!(may_be_token(&Token::new(good)), "{good}");
    }
    for bad in ["a b", "a\tb", "ä", "a\u{1b}[2J", &"x".repeat(MOST_TOKEN_BYTES + 1)] {
        assert!(!may_be_token(&Token::new(bad)), "{bad}");
    }
}

/// An API server that answers nothing; counts who asks.
async fn silent() -> (Reviews, tokio::sync::mpsc::Receiver<tokio::net::TcpStream>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (sender, asked) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(sender.send(stream).await);
        }
    });
    daemon::tls::install();
    let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    (Reviews::new(client, Vec::new(), Duration::from_secs(30), Clock::manual(0)), asked)
}

#[tokio::test]
async fn new_tokens_have_few_places_and_equal_ones_share_one() {
    let (reviews, mut asked) = silent().await;
    // eight forged tokens, each three times
    for number in 0..24 {
        let (reviews, token) = (reviews.clone(), Token::new(format!("forged-{}", number / 3)));
        tokio::spawn(async move { reviews.caller(&token).await });
    }
    let mut open = Vec::new();
    while open.len() < NEW_AT_ONCE {
        open.push(asked.recv().await.unwrap());
    }
    // a question of somebody known goes past them
    assert_eq!(reviews.0.room_for_new.available_permits(), 0);
    assert_eq!(reviews.0.room.available_permits(), super::AT_ONCE);
    let token = Token::new("dev");
    reviews.0.answers.put(digest::of(&token), &Err(Denied::Forbidden(String::new())), Duration::ZERO);
    let known = reviews.clone();
    tokio::spawn(async move { known.caller(&token).await });
    open.push(asked.recv().await.unwrap());
    assert_eq!(reviews.0.room.available_permits(), super::AT_ONCE - 1);
}
