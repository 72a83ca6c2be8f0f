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
         Where nobody answers, a node can be tested alone, as root on it (in a Pod: `kubectl exec` into its agent, whose image\n\
         has both programs). What its plan says is in its state directory. The other ends are not asked then, so a verdict says\n\
         less:\n\n\
         ```text\ncauseway-agent examine --node n1 > evidence.json\ncauseway doctor --evidence evidence.json\n```\n\n\
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
