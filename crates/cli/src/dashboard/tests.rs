//! The server over a real socket, and what it tells of a source that goes away.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::request::Closely;
use super::state::State;
use super::{loopback, server};
use crate::status::{Facts, News};

/// East and west, as `tests/data/running` has them.
fn running() -> Facts {
    Facts::in_directory(Path::new("tests/data/running")).unwrap()
}

async fn up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(State::new(None, News { facts: running(), trouble: None }));
    tokio::spawn(server::serve(listener, state));
    address
}

/// Sends this and reads what comes until the server closes.
async fn say(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str, fields: &str) -> String {
    say(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
        .await
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    answer.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(start.as_str()))
}

#[tokio::test]
async fn every_answer_keeps_browsers_to_this_page_and_lets_no_other_read_it() {
    let address = up().await;
    for path in ["/", "/app.js", "/dashboard.json", "/nothing"] {
        let answer = get(address, path, "Origin: http://evil.example\r\n").await;
        let policy = field(&answer, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!answer.to_lowercase().contains("access-control-"), "{path}: {answer}");
    }
    let refused = say(address, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let refused = say(address, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(
        refused.starts_with("HTTP/1.1 405 ") && field(&refused, "allow") == Some("GET, HEAD"),
        "{refused}"
    );
    let head = say(address, "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn what_a_page_has_already_is_not_sent_again() {
    let address = up().await;
    let first = get(address, "/dashboard.json", "").await;
    let tag = field(&first, "etag").unwrap();
    let again = get(address, "/dashboard.json", &format!("If-None-Match: {tag}\r\n")).await;
    assert!(again.starts_with("HTTP/1.1 304 ") && again.ends_with("\r\n\r\n"), "{again}");
    assert!(field(&again, "causeway-as-of").is_some(), "{again}");
    let closely = get(address, "/dashboard.json?link=west/east", &format!("If-None-Match: {tag}\r\n")).await;
    assert!(closely.starts_with("HTTP/1.1 200 "), "{closely}");
}

#[tokio::test]
async fn long_heads_are_refused_and_connections_are_counted() {
    let address = up().await;
    let long = get(address, "/", &format!("X: {}\r\n", "a".repeat(server::HEAD_LIMIT))).await;
    assert!(long.starts_with("HTTP/1.1 431 "), "{}", long.lines().next().unwrap_or_default());
    let mut open = Vec::new();
    for _ in 0..server::CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        open.push(stream);
    }
    let mut more = TcpStream::connect(address).await.unwrap();
    match more.read(&mut [0; 16]).await {
        Ok(length) => assert_eq!(length, 0, "it is closed"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

async fn told(state: &State, closely: Option<Closely>) -> Value {
    serde_json::from_slice(&state.dashboard(closely).await.unwrap().json).unwrap()
}

fn link() -> Option<Closely> {
    Some(Closely::Link { from: "east".to_owned(), to: "west".to_owned() })
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_told_with_what_was_known_and_since_when() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let facts = |second| Facts { now: at(second), ..running() };
    let state = State::new(None, News { facts: facts(1000), trouble: None });
    let before = told(&state, None).await;
    assert_eq!((before.get("trouble"), before["asOf"].as_str()), (None, Some(at(1000).to_string().as_str())));

    state.take(News { facts: facts(1010), trouble: Some("no route".to_owned()) });
    let gone = told(&state, None).await;
    assert_eq!((&gone["trouble"], &gone["asOf"]), (&Value::from("no route"), &before["asOf"]));
    assert_eq!(gone["status"]["clusters"], before["status"]["clusters"], "unknown is not empty");

    state.take(News { facts: facts(1020), trouble: None });
    let back = told(&state, link()).await;
    let way = &back["focus"]["ways"][0];
    let moments = way["moments"].as_array().unwrap();
    let states: Vec<(&Value, Option<&str>)> =
        moments.iter().map(|one| (&one["at"], one["state"].as_str())).collect();
    assert_eq!(
        states,
        [
            (&Value::from(1000), Some("Ready")),
            (&Value::from(1010), None),
            (&Value::from(1020), Some("Ready")),
        ]
    );
    assert_eq!(back.get("trouble"), None);
}

#[tokio::test]
async fn what_is_looked_at_closely_is_there_or_said_to_be_missing() {
    let state = State::new(None, News { facts: running(), trouble: None });
    let both = told(&state, link()).await;
    assert_eq!(both["focus"]["ways"].as_array().unwrap().len(), 2, "there and back");
    for closely in [
        Closely::Link { from: "east".to_owned(), to: "<b>".to_owned() },
        Closely::Cluster("../../secrets".to_owned()),
        Closely::Cluster("north".to_owned()),
        Closely::Node { cluster: "west".to_owned(), node: "none".to_owned() },
        Closely::Node { cluster: "west".to_owned(), node: "../x".to_owned() },
    ] {
        let answer = told(&state, Some(closely.clone())).await;
        assert!(answer.get("focus").is_none() && answer["missing"].is_string(), "{closely:?}");
    }
    let cluster = told(&state, Some(Closely::Cluster("west".to_owned()))).await;
    assert_eq!(cluster["focus"]["name"], "west");
    let node = Closely::Node { cluster: "west".to_owned(), node: "w9".to_owned() };
    let node = told(&state, Some(node)).await;
    let conditions = node["focus"]["conditions"].as_array().unwrap();
    assert!(
        conditions.iter().any(|one| one["reason"] == "NoUnderlayAddress" && one["do"].is_string()),
        "{node:#}"
    );
}

#[test]
fn only_loopback_is_listened_on() {
    assert!(loopback("127.0.0.1").is_ok() && loopback("::1").is_ok());
    for elsewhere in ["0.0.0.0", "::", "10.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "localhost", ""] {
        assert!(loopback(elsewhere).is_err(), "{elsewhere}");
    }
}
