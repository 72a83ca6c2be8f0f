//! What is measured on the paths, how long, and what it is held to.

use causeway_model::Family;

use crate::measure::{Mode, Placement, Protocol};

/// Requests to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// What is asked.
    pub mode: Mode,
    /// Where the ends run.
    pub placement: Placement,
    /// The inner family.
    pub family: Family,
    /// How often each layout has its turn.
    pub rounds: u32,
    /// Milliseconds of a slice.
    pub slice: u64,
    /// Whether bounds are held to it.
    pub bounded: bool,
}

/// Transfers to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// TCP connections at once.
    pub streams: u32,
    /// The inner family.
    pub family: Family,
    /// How often each layout has its turn.
    pub rounds: u32,
    /// Bytes of a transfer.
    pub bytes: u64,
}

const ONE: Placement = Placement::OneProcessor;
const TWO: Placement = Placement::TwoProcessors;

fn exchange(protocol: Protocol, bytes: usize) -> Mode {
    Mode::Exchange { protocol, bytes }
}

/// All requests. The one with bounds has most of the time: one byte over TCP on one processor, where the path itself
/// is most of what is measured.
pub fn requests(quick: bool) -> Vec<Asked> {
    let main = (exchange(Protocol::Tcp, 1), ONE, 28, 100, true);
    let others = [
        (exchange(Protocol::Tcp, 1024), ONE),
        (exchange(Protocol::Udp, 1), ONE),
        (exchange(Protocol::Udp, 1024), ONE),
        (exchange(Protocol::Tcp, 1), TWO),
        (exchange(Protocol::Tcp, 1024), TWO),
        (exchange(Protocol::Udp, 1), TWO),
        (exchange(Protocol::Udp, 1024), TWO),
        (Mode::Connect, ONE),
    ];
    let mut asked = Vec::new();
    let others = others.iter().map(|(mode, placement)| (*mode, *placement, 9, 50, false));
    for (mode, placement, rounds, slice, bounded) in std::iter::once(main).chain(others) {
        for family in Family::BOTH {
            let (rounds, slice) = if quick { (3, 5) } else { (rounds, slice) };
            asked.push(Asked { mode, placement, family, rounds, slice, bounded });
        }
    }
    asked
}

/// Bytes of a block: some hundred segments, so that waiting for the one byte that answers is a small part.
pub const BLOCK: usize = 1 << 20;

/// What one stream carries. Blocks on an open connection scatter less than whole transfers, so bounds are held to them.
pub fn blocks(quick: bool) -> Vec<Asked> {
    let (rounds, slice) = if quick { (2, 5) } else { (16, 100) };
    let of = |placement, family| Asked {
        mode: Mode::Block { bytes: BLOCK },
        placement,
        family,
        rounds,
        slice,
        bounded: true,
    };
    [ONE, TWO].into_iter().flat_map(|placement| Family::BOTH.map(|family| of(placement, family))).collect()
}

/// All transfers.
pub fn transfers(quick: bool) -> Vec<Moved> {
    let bytes = if quick { 4 << 20 } else { 192 << 20 };
    let rounds = |rounds| if quick { 2 } else { rounds };
    vec![
        Moved { streams: 1, family: Family::V4, rounds: rounds(3), bytes },
        Moved { streams: 8, family: Family::V4, rounds: rounds(3), bytes },
        Moved { streams: 1, family: Family::V6, rounds: rounds(3), bytes },
    ]
}

/// A title in words.
pub fn title(mode: Mode, placement: Placement, family: Family) -> String {
    let what = match mode {
        Mode::Connect => "New TCP connections".to_owned(),
        Mode::Block { bytes } => format!("Throughput, 1 stream in blocks of {} MiB", bytes >> 20),
        Mode::Exchange { protocol, bytes } => {
            let protocol = if protocol == Protocol::Tcp { "TCP" } else { "UDP" };
            let bytes = if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
            format!("Round trips, {protocol}, {bytes}")
        }
    };
    let placement = if placement == ONE { "one processor" } else { "two processors" };
    format!("{what}, {placement}, {family}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::path::layout::Layout;

    #[test]
    fn the_default_takes_less_than_eight_minutes() {
        // What a slice costs beside its own time, seen with two processors: a thread, a connection, 200 round trips.
        let beside = 0.02;
        let paths = Layout::ALL.len() as f64;
        let slices = |asked: &Asked| f64::from(asked.rounds) * (asked.slice as f64 / 1e3 + beside) * paths;
        let asked: f64 = requests(false).iter().chain(&blocks(false)).map(slices).sum();
        // At 4 Gb/s, with what iperf3 needs to begin and to end.
        let carried =
            |moved: &Moved| f64::from(moved.rounds) * (moved.bytes as f64 * 8.0 / 4e9 + 0.1) * paths;
        let moved: f64 = transfers(false).iter().map(carried).sum();
        assert!(asked + moved < 475.0, "{asked} s and {moved} s");
    }

    #[test]
    fn both_families_have_a_mode_with_bounds() {
        let bounded: Vec<Family> = requests(false).iter().filter(|a| a.bounded).map(|a| a.family).collect();
        assert_eq!(bounded, Family::BOTH);
    }
}
