//! Our programs as processes: what they log, whether they are ready, how busy they are.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::free_port;
use crate::{eventually, mortal, program, succeed};

/// A program that runs until this value goes.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    port: u16,
    started: Instant,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Starts a program of the workspace. It logs to a file of `folder` that is named for `name`.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn start(folder: &Path, name: &str, binary: &str, words: &[&str]) -> Daemon {
        let (log, port) = (folder.join(format!("{name}.log")), free_port());
        let mut command = mortal(&program(binary));
        command.args(words).args(["--listen", &format!("127.0.0.1:{port}")]).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stderr(File::create(&log).expect("a log"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Daemon { name: name.to_owned(), child, log, port, started: Instant::now() }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it logged that is wrong.
    pub fn warnings(&self) -> Vec<String> {
        let bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        self.log().lines().filter(bad).map(str::to_owned).collect()
    }

    /// Whether it says that it is ready, and how it is in detail.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn ready(&self) -> std::io::Result<(bool, String)> {
        let answer = self.http("GET", "/readyz")?;
        Ok((answer.starts_with("HTTP/1.1 200"), answer))
    }

    /// Asks it something: the status, and all of the answer.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let answer = self.http(method, path).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or_else(|| panic!("{answer}")), answer)
    }

    fn http(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let asked = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// If it never does.
    pub async fn becomes_ready(&mut self) {
        self.becomes("ready", |ready, _| ready).await;
    }

    /// Waits until it says that it is not ready, and `why` among the reasons.
    ///
    /// # Panics
    /// If it never does.
    pub async fn becomes_unready(&mut self, why: &str) {
        self.becomes(why, |ready, text| !ready && text.contains(why)).await;
    }

    async fn becomes(&mut self, what: &str, is: impl Fn(bool, &str) -> bool) {
        let what = format!("{}: {what}", self.name);
        eventually(&what, async || {
            self.goes_on();
            match self.ready() {
                Ok((ready, text)) if is(ready, &text) => Ok(()),
                other => Err(format!("{other:?}\n{}", self.log())),
            }
        })
        .await;
    }

    /// It runs, and is not busy with nothing.
    ///
    /// # Panics
    /// If that is not so.
    pub fn goes_on(&mut self) {
        let ended = self.child.try_wait().expect("a process");
        assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.log());
        let busy = self.busy();
        // Starting costs something; after that hardly anything.
        let may = Duration::from_secs(2) + self.started.elapsed() / 5;
        assert!(busy < may, "{} was busy for {busy:?}\n{}", self.name, self.log());
    }

    /// How much processor time it has used.
    fn busy(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms; what stands before the parenthesis may hold blanks.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Sends it a signal, such as `STOP`.
    ///
    /// # Panics
    /// If that does not succeed.
    pub fn signal(&self, signal: &str) {
        succeed(Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]));
    }

    /// Waits until it logs `text` more often than `before`.
    ///
    /// # Panics
    /// If it never does.
    pub async fn says(&self, text: &str, before: usize) {
        let what = format!("{}: {text}", self.name);
        eventually(&what, async || if self.said(text) > before { Ok(()) } else { Err(self.log()) }).await;
    }

    /// How often it logged `text`.
    pub fn said(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }
}
