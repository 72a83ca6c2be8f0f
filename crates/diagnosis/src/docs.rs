//! `docs/troubleshooting.md`, written from the coded list.

use std::fmt::Write;

use crate::cause::{Cause, Text};

/// The page.
pub fn page() -> String {
    let mut out = String::from(
        "# Troubleshooting\n\n\
         Written by `make docs` from `crates/diagnosis/src/cause.rs`; do not edit.\n\n\
         `causeway doctor` asks the agents of some nodes to test with real packets, compares what both ends saw, and names the\n\
         cause out of this list. `causeway doctor --explain CW1101` prints one entry.\n\n\
         | code | cause |\n| --- | --- |\n",
    );
    for cause in Cause::ALL {
        let Text { code, title, .. } = cause.text();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| [{code}](#{}) | {title} |", code.to_lowercase());
    }
    for cause in Cause::ALL {
        let Text { code, title, explanation, mend } = cause.text();
        let _ =
            write!(out, "\n## {code}\n\n**{title}**\n\n{explanation}\n\n```text\n{}\n```\n", mend.join("\n"));
    }
    out
}
