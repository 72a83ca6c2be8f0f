//! `causeway dashboard` over a directory of objects, as a program that ends with what holds it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{LabError, Result};

/// A dashboard that runs.
pub struct Dashboard {
    child: Child,
    url: String,
}

impl Dashboard {
    /// Starts the program beside `lab`, which is `causeway-lab`, and waits for its address.
    ///
    /// # Errors
    /// It does not start, or cannot read the directory.
    pub fn start(lab: impl AsRef<Path>, objects: &Path) -> Result<Dashboard> {
        let program = lab.as_ref().with_file_name("causeway");
        let name = || program.display().to_string();
        let mut command = Command::new(&program);
        command.args(["dashboard", "--objects"]).arg(objects).stdout(Stdio::piped()).stderr(Stdio::null());
        let run = |source| LabError::Run { program: name(), source };
        let mut child = command.spawn().map_err(run)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(run)?;
        }
        let dashboard = Dashboard { child, url: line.trim().to_owned() };
        if !dashboard.url.starts_with("http://") {
            let message = format!("it printed no address but \"{line}\"");
            return Err(LabError::Failed { program: format!("{} dashboard", name()), message });
        }
        Ok(dashboard)
    }

    /// Its address, with a stroke at the end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
