//! A browser without a screen, for tests and pictures of web pages: Debian's Chromium, driven over the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>) through two pipes, so that it listens nowhere.
//!
//! What the page asked for over the network and what it complained of is kept, to be judged.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deadline::wait_until;
use crate::error::{LabError, Result};

/// How long the browser may take to do one thing.
const LIMIT: Duration = Duration::from_secs(60);

/// Started so: alone with its own profile, asking nobody for anything. Its sandbox needs rights that tests may lack, and the only
/// page that it is shown is ours.
const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

/// How a page is to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Dark text on light ground.
    Light,
    /// The other way round.
    Dark,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

/// A browser with one page. It ends when this is dropped.
pub struct Browser {
    child: Child,
    orders: File,
    answers: Receiver<Value>,
    session: Option<String>,
    number: u64,
    requests: Vec<String>,
    complaints: Vec<String>,
    // The last to go: what the browser writes is in it.
    _folder: TempDir,
}

impl Browser {
    /// Starts Chromium with an empty page of that size in CSS pixels.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(width: u32, height: u32) -> Result<Browser> {
        let folder = TempDir::with_prefix("causeway-browser-").map_err(failed)?;
        let (orders, answers) = (folder.path().join("orders"), folder.path().join("answers"));
        for pipe in [&orders, &answers] {
            mkfifo(pipe, Mode::S_IRWXU).map_err(|error| failed(error.into()))?;
        }
        // Descriptors 3 and 4 are what the browser speaks through.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<\"$1\" 4>\"$2\"; shift 2; exec \"$@\"", "sh"]).arg(&orders).arg(&answers);
        command.arg(program()?).args(FLAGS).arg(format!("--user-data-dir={}", folder.path().display()));
        command.arg(format!("--window-size={width},{height}")).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(failed)?;
        let orders = OpenOptions::new().write(true).open(&orders).map_err(failed)?;
        let answers = listen(File::open(&answers).map_err(failed)?);
        let mut browser = Browser {
            child,
            orders,
            answers,
            session: None,
            number: 0,
            requests: Vec::new(),
            complaints: Vec::new(),
            _folder: folder,
        };
        browser.attach(width, height)?;
        Ok(browser)
    }

    fn attach(&mut self, width: u32, height: u32) -> Result<()> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach)?;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        Ok(())
    }

    /// Asks the browser for something and waits for its answer.
    ///
    /// # Errors
    /// It refuses, has ended, or does not answer.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.number += 1;
        let mut order = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).map_err(failed)?;
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.answers.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout => LabError::Browser(format!("no answer to {method}")),
                RecvTimeoutError::Disconnected => LabError::Browser(format!("it ended at {method}")),
            })?;
            if message["id"] == self.number {
                return match message.get("error") {
                    Some(error) => Err(LabError::Browser(format!("{method}: {error}"))),
                    None => Ok(message["result"].clone()),
                };
            }
            self.heard(&message);
        }
    }

    fn heard(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled"
                if ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind) =>
            {
                self.complaints.push(params["args"].to_string());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            _ => {}
        }
    }

    /// Opens an address.
    ///
    /// # Errors
    /// As [`Browser::call`].
    pub fn open(&mut self, url: &str) -> Result<()> {
        let opened = self.call("Page.navigate", json!({"url": url}))?;
        match opened.get("errorText") {
            Some(error) => Err(LabError::Browser(format!("{url}: {error}"))),
            None => Ok(()),
        }
    }

    /// What an expression of JavaScript comes to in the page.
    ///
    /// # Errors
    /// It throws; or as [`Browser::call`].
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(LabError::Browser(format!("{expression}: {thrown}"))),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true. `state` is one that says how things stand while it is not.
    ///
    /// # Errors
    /// [`LabError::Deadline`]; or as [`Browser::value`].
    pub fn wait(&mut self, what: &str, expression: &str, state: &str) -> Result<()> {
        wait_until(what, LIMIT, || match self.value(&format!("Boolean({expression})"))? {
            Value::Bool(true) => Ok(Ok(())),
            _ => Ok(Err(self.value(state)?.to_string())),
        })
    }

    /// Presses a key, by its name in the standard: `Tab`, `Enter`, `ArrowRight` and the like.
    ///
    /// # Errors
    /// As [`Browser::call`].
    pub fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => return Err(LabError::Browser(format!("the key {other} is not known here"))),
        };
        let mut event = json!({"type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if key == "Enter" {
            event["type"] = json!("keyDown");
            event["text"] = json!("\r");
        }
        self.call("Input.dispatchKeyEvent", event.clone())?;
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", event)?;
        Ok(())
    }

    /// Has pages look so from now on.
    ///
    /// # Errors
    /// As [`Browser::call`].
    pub fn prefer(&mut self, scheme: Scheme) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme.word()}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).map(|_| ())
    }

    /// Writes a picture of the page, or of the part of it that a selector of CSS finds first, as PNG.
    ///
    /// # Errors
    /// The file cannot be written, nothing is found; or as [`Browser::call`].
    pub fn picture(&mut self, part: &str, file: &Path) -> Result<()> {
        let place = format!(
            "(() => {{ const box = document.querySelector({part:?}).getBoundingClientRect(); \
             return {{x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1}}; }})()"
        );
        let clip = self.value(&place)?;
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", params)?;
        let text = answer["data"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).map_err(|error| LabError::Browser(error.to_string()))?;
        std::fs::write(file, bytes).map_err(failed)
    }

    /// The addresses that were asked for so far.
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// What went wrong in pages so far: errors, and what was written to the console as such.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<&'static str> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(is_there)
        .ok_or(LabError::MissingProgram { program: "chromium", package: "chromium" })
}

/// Messages, each of which ends with a zero byte.
fn listen(answers: File) -> Receiver<Value> {
    let (say, heard) = channel();
    thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        let mut bytes = Vec::new();
        while answers.read_until(0, &mut bytes).is_ok_and(|length| length > 0) {
            bytes.pop();
            if let Ok(message) = serde_json::from_slice(&bytes)
                && say.send(message).is_err()
            {
                return;
            }
            bytes.clear();
        }
    });
    heard
}

fn failed(error: std::io::Error) -> LabError {
    LabError::Browser(error.to_string())
}
