//! Figures of paths: what a pod pays to reach another cluster, against what it pays to reach its own, and against what
//! people use instead.

mod bed;
mod by_hand;
mod judge;
mod layout;
mod plan;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use causeway_model::Family;

use self::bed::{Bed, namespace};
use self::judge::{Sample, difference, doubt, of_path, quotient, tolerance};
use self::layout::Layout;
use self::plan::{Asked, BLOCK, Moved, blocks, requests, title, transfers};
use crate::args::Options;
use crate::child::run_in;
use crate::measure::{Bulk, Counter, Exchanges, Mode, Path, Placement, Slice, Walk};
use crate::report::Section;
use crate::row::{Row, Unit};
use causeway_lab::machine::load_average;
use causeway_pathbench::statistics::{Estimate, median};

/// From which the order of all slices follows.
const SEED: u64 = 20_261_128;
/// How long the load of bringing a bed up takes to wear off at most: it is an average over a minute.
const WEARS_OFF: Duration = Duration::from_secs(150);
/// Requests by which a layout shows which way it takes.
const WALKED: u32 = 100;

/// All figures of paths, from one bed.
///
/// # Errors
/// If the bed does not come up, or a layout takes another way than it claims.
pub fn sections(options: &Options) -> Result<Vec<Section>> {
    let bed = Bed::up()?;
    let mut sections = vec![ways(&bed)?];
    let load = if options.quick { load_average() } else { settled_load() };
    for asked in requests(options.quick) {
        if asked.placement == Placement::TwoProcessors && cores() < 2 {
            continue;
        }
        sections.push(answered(&bed, asked, options, load)?);
    }
    for asked in blocks(options.quick) {
        if asked.placement == Placement::OneProcessor || cores() > 1 {
            sections.push(streamed(&bed, asked, options, load)?);
        }
    }
    let mut published = Section::new("iperf3 with its RTT column: one cluster against two", PUBLISHED);
    for moved in transfers(options.quick) {
        let (section, rows) = carried(&bed, moved, load)?;
        sections.push(section);
        published.rows.extend(rows);
    }
    sections.push(published);
    Ok(sections)
}

const PUBLISHED: &str = "What projects of this kind publish: throughput and the RTT that iperf3 shows under load. That RTT is \
    TCP's smoothed estimate of a connection that fills its queues: it says how long the queues are, not what the path costs.";

const METHOD: &str = "All layouts stand at once; slices of all of them follow each other in random order in each round. \
    Quotients are of the same round; medians with 95 % intervals. Beside them the difference of the medians. Network \
    namespaces on one machine have no wire, so what a tunnel costs is all there is to see: quotients are larger than between machines.";

/// The paths of all layouts, in their order.
fn paths(bed: &Bed, family: Family) -> Result<Vec<Path>> {
    Layout::ALL.iter().map(|layout| bed.path(*layout, family)).collect()
}

fn place(layout: Layout) -> usize {
    Layout::ALL.iter().position(|other| *other == layout).unwrap_or_default()
}

/// The load average before anything is measured, once that of bringing the bed up has worn off. What is measured raises it
/// itself, so it is not looked at again: what begins to run meanwhile shows in the control.
fn settled_load() -> f64 {
    let end = Instant::now() + WEARS_OFF;
    loop {
        let load = load_average();
        if load <= cores() as f64 || Instant::now() >= end {
            return load;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Sees that each layout takes the way that it claims.
fn ways(bed: &Bed) -> Result<Section> {
    let note = format!(
        "Each layout is walked by {WALKED} requests before anything is measured; the devices that it claims must count them, and those \
         that it avoids must not."
    );
    let mut section = Section::new("Ways that were walked", note);
    let mut wrong = Vec::new();
    for family in Family::BOTH {
        let mut walked = Vec::new();
        for (layout, path) in Layout::ALL.iter().zip(paths(bed, family)?) {
            let counter = |device: &str| {
                let (node, device) = device.split_once(' ').unwrap_or((device, ""));
                Ok(Counter { namespace: namespace(node)?, device: device.to_owned() })
            };
            walked.push((path, layout.way().devices().map(counter).collect::<Result<_>>()?));
        }
        let counted = run_in(bed.lab(), &Walk { paths: walked, requests: WALKED })?;
        for (layout, counted) in Layout::ALL.iter().zip(counted) {
            let found = layout.way().contradictions(&counted, u64::from(WALKED));
            wrong.extend(found.into_iter().map(|what| format!("{}, {family}: {what}", layout.name())));
            let steps = layout.way().passes.len() as f64;
            section.rows.push(Row::shown(
                format!("{}, {family}: steps seen", layout.name()),
                steps,
                Unit::Count,
            ));
        }
    }
    if wrong.is_empty() {
        Ok(section)
    } else {
        bail!("layouts take other ways than they claim: {}", wrong.join("; "))
    }
}

/// The slices of one mode, placement and family over all layouts, and what they are called.
fn exchanged(bed: &Bed, asked: Asked) -> Result<(String, Vec<Slice>)> {
    let Asked { mode, placement, family, rounds, slice, bounded: _ } = asked;
    let title = title(mode, placement, family);
    eprintln!("measuring {title} …");
    let paths = paths(bed, family)?;
    let slices = run_in(bed.lab(), &Exchanges { paths, mode, placement, rounds, slice, seed: SEED })?;
    Ok((title, slices))
}

/// One figure of each slice.
fn samples(slices: &[Slice], value: fn(&Slice) -> f64) -> Vec<Sample> {
    slices.iter().map(|slice| Sample { path: slice.path, round: slice.round, value: value(slice) }).collect()
}

/// Requests and answers of one mode and family over all layouts.
fn answered(bed: &Bed, asked: Asked, options: &Options, load: f64) -> Result<Section> {
    let Asked { mode, placement, bounded, .. } = asked;
    let (title, slices) = exchanged(bed, asked)?;
    let of = |value| samples(&slices, value);
    let times = of(|slice| slice.median);
    let mut section = Section::new(title, if bounded { METHOD } else { "" });
    let is_judged = bounded && !options.quick;
    section.rows = compared(&times, is_judged, load);
    if bounded || mode == Mode::Connect {
        for layout in Layout::ALL {
            let value = median(&of_path(&times, place(layout)));
            let row = Row::shown(layout.name(), value, Unit::Seconds);
            section.rows.push(match mode {
                Mode::Connect => row.beside(format!("{:.1}k/s one after the other", 1e-3 / value)),
                Mode::Exchange { .. } | Mode::Block { .. } => row,
            });
        }
    }
    // With one processor the waiting end is up to date in what it has used; and it is the path, not the waking, that counts.
    if placement == Placement::OneProcessor && matches!(mode, Mode::Exchange { .. }) {
        // A round trip is two packets.
        let cpu = of(|slice| slice.cpu * 5e5);
        for layout in Layout::ALL {
            let what = format!("{}: processor seconds per million packets", layout.name());
            section.rows.push(Row::estimated(what, Estimate::of(&of_path(&cpu, place(layout))), Unit::Count));
        }
        for (above, below) in COMPARED {
            let what = format!("{} ÷ {}: processor time", above.name(), below.name());
            section.rows.push(Row::estimated(what, quotient(&cpu, place(above), place(below)), Unit::Ratio));
        }
    }
    Ok(section)
}

/// Pairs that say what Causeway costs, and that bounds are about.
const COMPARED: [(Layout, Layout); 5] = [
    (Layout::P2p, Layout::Vxlan),
    (Layout::P2p, Layout::HandP2p),
    (Layout::P2p, Layout::GuardedP2p),
    (Layout::Gateway, Layout::ReferenceGateway),
    (Layout::Gateway, Layout::HandGateway),
];

/// Why this one takes longer than what it is compared with, if it does.
fn why(above: Layout) -> &'static str {
    if above == Layout::P2p {
        "each packet of the tunnel is held to its VTEP, its MAC and its source, which flannel's VXLAN does not; what the fast path \
         spares the packets inside is less than that here"
    } else {
        "the same at both of Causeway's tunnels, while the other layout lets everybody in; what the fast path spares is less than that here"
    }
}

/// The control, what has bounds, and all layouts over the VXLAN of one cluster. Samples are seconds.
fn compared(samples: &[Sample], is_judged: bool, load: f64) -> Vec<Row> {
    let ratio = |above: Layout, below: Layout| quotient(samples, place(above), place(below));
    let control = ratio(Layout::VxlanAgain, Layout::Vxlan);
    let (doubt, tolerance) = (doubt(&control, load, cores()), tolerance(&control));
    let row = |above: Layout, below: Layout| {
        let row =
            Row::estimated(format!("{} ÷ {}", above.name(), below.name()), ratio(above, below), Unit::Ratio);
        let difference = difference(samples, place(above), place(below)).median;
        row.doubted(doubt.clone()).beside(format!("{:+.2} µs", difference * 1e6))
    };
    let mut rows = Vec::new();
    for (above, below) in COMPARED {
        let bound = match (above, below) {
            (Layout::P2p, Layout::Vxlan) => 1.02,
            _ => 1.0 + tolerance,
        };
        let row = row(above, below).because(why(above));
        rows.push(if is_judged { row.at_most(bound) } else { row });
    }
    rows.push(row(Layout::P2p, Layout::ReferenceP2p));
    rows.push(row(Layout::Gateways, Layout::ReferenceGateway));
    let others = Layout::ALL.iter().filter(|layout| !matches!(layout, Layout::Vxlan | Layout::P2p));
    rows.extend(others.map(|layout| row(*layout, Layout::Vxlan)));
    rows
}

/// What one stream carries in blocks, of one placement and family over all layouts.
fn streamed(bed: &Bed, asked: Asked, options: &Options, load: f64) -> Result<Section> {
    let (title, slices) = exchanged(bed, asked)?;
    let of = |value| samples(&slices, value);
    let (rates, cpu) =
        (of(|slice| BLOCK as f64 * 8.0 / slice.median), of(|slice| slice.cpu / BLOCK as f64 * 1e9));
    let note = "On an open connection, with one byte back for each block. On one processor the rate is what a byte costs at both ends \
                together. Processor time is that of both ends, and of the kernel on their behalf.";
    let rows = rated(&rates, &cpu, asked.bounded && !options.quick, load);
    Ok(Section { rows, ..Section::new(title, note) })
}

/// Rates over each other, what a byte costs over each other, and both as they are.
fn rated(rates: &[Sample], cpu: &[Sample], is_judged: bool, load: f64) -> Vec<Row> {
    let ratio =
        |samples: &[Sample], above: Layout, below: Layout| quotient(samples, place(above), place(below));
    let doubt = doubt(&ratio(rates, Layout::VxlanAgain, Layout::Vxlan), load, cores());
    let mut rows = Vec::new();
    for (above, below) in COMPARED.into_iter().chain([(Layout::VxlanAgain, Layout::Vxlan)]) {
        let what = format!("{} ÷ {}", above.name(), below.name());
        let row = Row::estimated(what, ratio(rates, above, below), Unit::Ratio)
            .doubted(doubt.clone())
            .because("the same chains for each segment and for each acknowledgement");
        let is_bound = (above, below) == (Layout::P2p, Layout::Vxlan) && is_judged;
        rows.push(if is_bound { row.at_least(0.98) } else { row });
    }
    for (above, below) in COMPARED {
        let what = format!("{} ÷ {}: processor time for a byte", above.name(), below.name());
        rows.push(Row::estimated(what, ratio(cpu, above, below), Unit::Ratio).doubted(doubt.clone()));
    }
    for layout in Layout::ALL {
        let seconds = median(&of_path(cpu, place(layout)));
        let rate = Estimate::of(&of_path(rates, place(layout)));
        let beside = format!("{seconds:.2} processor seconds per GB");
        rows.push(Row::estimated(layout.name(), rate, Unit::BitRate).beside(beside));
    }
    rows
}

/// Transfers of one number of streams and family over all layouts, and the rows of the published table.
fn carried(bed: &Bed, moved: Moved, load: f64) -> Result<(Section, Vec<Row>)> {
    let Moved { streams, family, rounds, bytes } = moved;
    let plural = if streams == 1 { "" } else { "s" };
    let title = format!("Throughput, {streams} stream{plural}, {family}");
    eprintln!("measuring {title} …");
    let paths = paths(bed, family)?;
    let transfers = run_in(bed.lab(), &Bulk { paths, streams, bytes, rounds, seed: SEED })?;
    let of = |value: fn(&crate::measure::Transfer) -> f64| -> Vec<Sample> {
        transfers.iter().map(|t| Sample { path: t.path, round: t.round, value: value(t) }).collect()
    };
    let (rates, cpu, rtts) = (of(|t| t.rate), of(|t| t.cpu * 1e9), of(|t| t.rtt));
    let note = "iperf3, a fixed number of bytes, each end on a processor of its own. Processor time is that of the whole machine, \
                without what runs with lowered priority: it means something only where nothing else runs.";
    let section = Section { rows: rated(&rates, &cpu, false, load), ..Section::new(title, note) };
    let published = Layout::ALL.iter().map(|layout| {
        let rate = median(&of_path(&rates, place(*layout))) / 1e9;
        let rtt = Estimate::of(&of_path(&rtts, place(*layout)));
        let what = format!("{}, {streams} stream{plural}, {family}: RTT under load", layout.name());
        Row::estimated(what, rtt, Unit::Seconds).beside(format!("{rate:.2} Gb/s"))
    });
    let published = published.collect();
    Ok((section, published))
}
