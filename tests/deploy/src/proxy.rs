//! A way to an API server that can be made slow, or fall silent without a word.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Forwards connections on loopback. They end with the process.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How long what is read waits before it is written, in milliseconds.
    delay: AtomicU64,
    /// Connections of an earlier generation than this are dead, and nobody tells either end.
    generation: AtomicU64,
}

impl Proxy {
    /// A way to `port`.
    ///
    /// # Panics
    /// If nothing can be listened on.
    pub fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let generation = shared.generation.load(Ordering::SeqCst);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let state = shared.clone();
                    thread::spawn(move || forward(from, to, &state, generation));
                }
            }
        });
        Proxy { port: own, state }
    }

    /// The port to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays all that is sent, in both directions.
    pub fn delay(&self, by: Duration) {
        self.state.delay.store(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// Loses every connection that there is now: nothing more arrives, and neither end is told. New ones work.
    pub fn lose_connections(&self) {
        self.state.generation.fetch_add(1, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, state: &State, generation: u64) {
    let mut buffer = [0; 1 << 16];
    let is_lost = || state.generation.load(Ordering::SeqCst) != generation;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(state.delay.load(Ordering::SeqCst)));
        if !is_lost() && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if !is_lost() {
        // Either end may be gone by itself.
        let _ = to.shutdown(Shutdown::Write);
    }
}
