//! Both ends on loopback, where `127.0.0.1` and `127.0.0.2` are two paths of the same cost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use causeway_pathbench::measure::{Asking, MeasureError, Path, What, measure};
use causeway_pathbench::serve::{Serving, serve};

fn listening(from: &[&str]) -> u16 {
    let (tell, told) = mpsc::channel();
    let from: Vec<IpAddr> = from.iter().map(|address| address.parse().unwrap()).collect();
    thread::spawn(move || {
        let listen = vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let serving = Serving { listen, port: 0, from, lasting: Duration::from_secs(60) };
        serve(&serving, &AtomicBool::new(false), |port| tell.send(port).unwrap()).unwrap();
    });
    told.recv().unwrap()
}

fn asking(port: u16) -> Asking {
    let path = |name: &str, address: [u8; 4]| Path { name: name.to_owned(), address: address.into() };
    Asking {
        paths: vec![path("one", [127, 0, 0, 1]), path("two", [127, 0, 0, 2])],
        port,
        lasting: Duration::from_millis(300),
        transfer: 1 << 20,
        transfers: 3,
    }
}

#[test]
fn each_kind_has_a_figure_for_each_path() {
    let (mut last, mut steps) = ((0, 0), 0);
    let all = measure(&asking(listening(&[])), |done, total| {
        assert_eq!(done, steps + 1);
        (last, steps) = ((done, total), done);
    })
    .unwrap();
    assert_eq!(last.0, last.1);
    let kinds: Vec<What> = all.iter().map(|compared| compared.what).collect();
    assert_eq!(kinds, [What::TcpRoundTrip, What::UdpRoundTrip, What::TcpConnection, What::Throughput]);
    for compared in all {
        assert_eq!(compared.figures.len(), 2);
        assert!(compared.figures.iter().all(|figure| figure.value > 0.0), "{compared:?}");
        let ratio = compared.figures[1].ratio.unwrap();
        assert!(ratio.low <= ratio.median && ratio.median <= ratio.high, "{compared:?}");
    }
}

#[test]
fn who_is_not_named_is_not_answered_and_the_path_is() {
    let port = listening(&["192.0.2.1"]);
    let error = measure(&asking(port), |_, _| {}).unwrap_err();
    assert!(matches!(&error, MeasureError::Broken { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("round trip, TCP") && (text.contains("one (") || text.contains("two (")), "{text}");
}

#[test]
fn serving_ends_when_its_time_is_over() {
    let listen = vec![[127, 0, 0, 1].into()];
    let serving = Serving { listen, port: 0, from: Vec::new(), lasting: Duration::from_millis(50) };
    let mut told = 0;
    serve(&serving, &AtomicBool::new(false), |port| told = port).unwrap();
    assert!(told > 0);
    let long = Serving { lasting: Duration::from_secs(3600), ..serving };
    serve(&long, &AtomicBool::new(true), |_| {}).unwrap();
}
