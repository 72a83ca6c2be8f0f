//! `causeway-instructions PATH REPETITIONS`: does a hot path so many times. Run under an instruction counter by
//! `tests/guard.rs`.

use anyhow::{Context, Result};
use causeway_instructions::HotPath;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("which path?")?;
    let repetitions = arguments.next().context("how many times?")?.parse()?;
    HotPath::named(&name).with_context(|| format!("there is no path \"{name}\""))?.run(repetitions)
}
