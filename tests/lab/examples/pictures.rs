//! Makes the pictures of `docs/pictures`: the dashboard, one link closely, `causeway status` and `causeway doctor`, each of a lab with
//! a link that is broken. Needs what tests of labs need, and Chromium.
//!
//! `cargo run --locked -p causeway-lab --example pictures -- target/debug docs/pictures`

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_lab::browser::{Browser, Scheme};
use causeway_lab::dashboard::Dashboard;
use causeway_lab::{CheckOptions, Fault, Lab, Programs, Topology};

const TOPOLOGY: &str = "
name: pictures
clusters:
  - {name: berlin, nodes: [{name: b1}, {name: b2}]}
  - {name: lisbon, spec: {mode: Gateway, gateways: {count: 2}}, nodes: [{name: gw1}, {name: gw2}, {name: w1}]}
  - {name: oslo, nodes: [{name: o1}, {name: o2}]}
  - {name: vienna, spec: {mode: Gateway, gateways: {count: 1}}, nodes: [{name: v1}, {name: v2}]}
";

const LIMIT: Duration = Duration::from_secs(60);

/// Nobody reaches the one cluster. An internal node of the other goes on sending to its gateways and cannot know.
const BROKEN: &str =
    "document.querySelector('.map .NotReady .way') && document.querySelector('.map .Degraded .way')";

/// No picture is larger, in bytes.
const SIZE: u64 = 300_000;

/// How wide text of programs is, in characters.
const COLUMNS: usize = 132;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(programs), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("give the folder of the programs and the one of the pictures".into());
    };
    std::fs::create_dir_all(&folder)?;
    let program = programs.canonicalize()?.join("causeway-lab");
    let lab = Lab::up(&program, Topology::parse(TOPOLOGY, "pictures.yaml")?, Programs::beside(&program))?;
    let ready = lab.wait_until_ready(&CheckOptions::default(), LIMIT)?;
    if !ready.is_fine() {
        return Err(ready.to_table().into());
    }
    let dashboard = Dashboard::start(&program, &lab.objects_dir())?;
    let mut browser = Browser::start(1360, 900)?;
    browser.prefer(Scheme::Light)?;
    browser.open(dashboard.url())?;
    let text = "document.body.innerText";
    let measured = "document.querySelectorAll('.matrix td:is(.heat0, .heat1)').length === 12";
    browser.wait("all round-trip times", measured, text)?;
    lab.fault(&Fault::Partition { one: "berlin".parse()?, other: "lisbon".parse()? })?;
    browser.wait("a broken link", BROKEN, text)?;
    // What it was like before and after is to be seen in the pictures.
    std::thread::sleep(Duration::from_secs(40));
    lab.fault(&Fault::Heal)?;
    browser.wait("all mended", "!document.querySelector('.map :is(.NotReady, .Degraded) .way')", text)?;
    std::thread::sleep(Duration::from_secs(20));
    lab.fault(&Fault::Partition { one: "berlin".parse()?, other: "lisbon".parse()? })?;
    browser.wait("a broken link", BROKEN, text)?;
    // The tables below map and matrix are left out.
    browser.value("Object.assign(document.body.style, {height: '1240px', overflow: 'hidden'}) && true")?;
    picture(&mut browser, "body", &folder.join("dashboard.png"))?;
    browser.value("Object.assign(document.body.style, {height: '', overflow: ''}) && true")?;
    browser.value("location.hash = '#/link/berlin/lisbon'")?;
    browser.wait("the link", "document.querySelectorAll('.ways > section').length === 2", text)?;
    picture(&mut browser, "body", &folder.join("dashboard-link.png"))?;
    terminal(&mut browser, &program, &["status"], &lab, &folder.join("status.png"))?;
    terminal(&mut browser, &program, &["doctor"], &lab, &folder.join("doctor.png"))?;
    lab.down()?;
    Ok(())
}

fn picture(browser: &mut Browser, part: &str, file: &Path) -> Result<()> {
    browser.picture(part, file)?;
    let size = std::fs::metadata(file)?.len();
    println!("{}: {size} bytes", file.display());
    if size > SIZE {
        return Err(format!("{} is larger than {SIZE} bytes", file.display()).into());
    }
    Ok(())
}

/// What a command prints of the lab, with its colours, as a picture of a terminal.
fn terminal(browser: &mut Browser, lab_program: &Path, words: &[&str], lab: &Lab, file: &Path) -> Result<()> {
    let mut command = Command::new(lab_program.with_file_name("causeway"));
    // The folder of the lab has a name of this machine; what is shown is called as in the documentation.
    let link = tempfile::TempDir::with_prefix("causeway-pictures-")?;
    std::os::unix::fs::symlink(lab.objects_dir(), link.path().join("hub"))?;
    command.args(words).args(["--color", "always", "--objects", "hub"]).current_dir(link.path());
    let output = command.output()?;
    let text = String::from_utf8(output.stdout)?;
    if text.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let shown = format!("$ causeway {} --objects hub\n{text}", words.join(" "));
    let html = page(&shown);
    browser.open("about:blank")?;
    let frame = browser.call("Page.getFrameTree", serde_json::json!({}))?["frameTree"]["frame"]["id"].clone();
    browser.call("Page.setDocumentContent", serde_json::json!({"frameId": frame, "html": html}))?;
    picture(browser, "pre", file)
}

/// A page with the text as a terminal shows it: bold, green and red are all that the program uses.
fn page(text: &str) -> String {
    let mut body = String::new();
    for line in text.lines() {
        let mut spans = String::new();
        let mut column = 0;
        let mut parts = line.split("\x1b[");
        let plain = parts.next().unwrap_or_default();
        push(&mut spans, "", plain, &mut column);
        for part in parts {
            let (code, rest) = part.split_once('m').unwrap_or(("0", part));
            let class = match code {
                "1" => "bold",
                "31" => "bad",
                "32" => "good",
                _ => "",
            };
            push(&mut spans, class, rest, &mut column);
        }
        let _ = writeln!(body, "{spans}");
    }
    format!(
        "<!doctype html><meta charset=utf-8><style>body {{ margin: 0 }} pre {{ margin: 0; padding: 16px 20px; width: max-content; \
         background: #11151a; color: #dfe4ea; font: 14px/1.4 'DejaVu Sans Mono', monospace }} \
         .bold {{ font-weight: bold; color: #fff }} .bad {{ color: #ff8f86 }} .good {{ color: #5fd38a }}</style><pre>{body}</pre>"
    )
}

/// Adds text in a class, broken into lines as a terminal of [`COLUMNS`] columns breaks it.
fn push(spans: &mut String, class: &str, text: &str, column: &mut usize) {
    let _ = write!(spans, "<span class=\"{class}\">");
    for letter in text.chars() {
        if *column == COLUMNS {
            spans.push('\n');
            *column = 0;
        }
        *column += 1;
        match letter {
            '<' => spans.push_str("&lt;"),
            '&' => spans.push_str("&amp;"),
            letter => spans.push(letter),
        }
    }
    spans.push_str("</span>");
}
