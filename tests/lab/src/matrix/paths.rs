//! The paths that packets are sent over while faults are made, and what is counted on them.

use std::time::Duration;

use crate::error::Result;
use crate::lab::{Lab, Stream};
use crate::probe::stream::{StreamOptions, StreamReport};

/// A path of the bed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Path {
    /// From a node of a P2P cluster over the gateways to three pods behind them.
    Remote,
    /// From three pods behind gateways, over these, to a node of a P2P cluster.
    Internal,
    /// Between two P2P clusters, by nodes that no fault is made on.
    Elsewhere,
    /// From the node that others change things on, over gateways.
    ToGateways,
    /// From that node straight to another.
    ToNode,
}

impl Path {
    /// Who sends to whom.
    pub fn pairs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Path::Remote => {
                &[("alpha/n1/p1", "beta/in/p1"), ("alpha/n1/p1", "beta/in/p2"), ("alpha/n1/p1", "beta/in/p3")]
            }
            Path::Internal => {
                &[("beta/in/p1", "gamma/n1/p1"), ("beta/in/p2", "gamma/n1/p1"), ("beta/in/p3", "gamma/n1/p1")]
            }
            Path::Elsewhere => &[("alpha/n2/p1", "gamma/n2/p1")],
            Path::ToGateways => &[("alpha/n1/p1", "beta/in/p1")],
            Path::ToNode => &[("alpha/n1/p1", "gamma/n1/p1")],
        }
    }
}

/// Packets under way on some paths.
pub struct Streams(Vec<(Path, Stream)>);

impl Streams {
    /// Begins to send: over each pair one UDP flow of each family, a packet every 5 ms.
    pub fn start(lab: &Lab, paths: impl IntoIterator<Item = Path>, tcp: bool) -> Result<Streams> {
        let mut started = Vec::new();
        for path in paths {
            for (from, to) in path.pairs() {
                for ipv6 in [false, true] {
                    let base = StreamOptions::new(from.parse()?, to.parse()?);
                    let tcp = tcp && path != Path::Elsewhere;
                    started.push((path, lab.begin_stream(&StreamOptions { ipv6, flows: 1, tcp, ..base })?));
                }
            }
        }
        started.iter_mut().try_for_each(|(_, stream)| stream.wait_for_answer())?;
        Ok(Streams(started))
    }

    /// Ends all, and says what became of the packets.
    pub fn finish(mut self) -> Result<Reports> {
        self.0.iter_mut().for_each(|(_, stream)| stream.stop());
        let finish = |(path, stream): (Path, Stream)| Ok((path, stream.finish()?));
        Ok(Reports(self.0.into_iter().map(finish).collect::<Result<_>>()?))
    }
}

/// What became of packets on some paths.
#[derive(Clone, PartialEq, Debug)]
pub struct Reports(pub Vec<(Path, StreamReport)>);

impl Reports {
    fn of<'a>(&'a self, paths: &'a [Path]) -> impl Iterator<Item = &'a StreamReport> {
        self.0.iter().filter(|(path, _)| paths.contains(path)).map(|(_, report)| report)
    }

    /// UDP packets sent on these paths.
    pub fn sent(&self, paths: &[Path]) -> u64 {
        self.of(paths).map(StreamReport::sent).sum()
    }

    /// UDP packets lost on these paths.
    pub fn lost(&self, paths: &[Path]) -> u64 {
        self.of(paths).map(StreamReport::lost).sum()
    }

    /// TCP connections that broke on these paths.
    pub fn broken(&self, paths: &[Path]) -> u64 {
        self.of(paths).map(StreamReport::broken_connections).sum()
    }

    /// The longest time from a lost UDP packet to the next answered one on these paths.
    pub fn longest_outage(&self, paths: &[Path]) -> Duration {
        let outages = self.of(paths).flat_map(StreamReport::outages);
        Duration::from_micros(outages.map(|o| o.to_microseconds - o.from_microseconds).max().unwrap_or(0))
    }

    /// For each time in microseconds of the Unix epoch, the longest outage on these paths that began between it and
    /// the next one.
    pub fn longest_after(&self, times: &[u64], paths: &[Path]) -> Vec<Duration> {
        let mut longest = vec![0; times.len()];
        for report in self.of(paths) {
            for outage in report.outages() {
                let began = report.began_unix_microseconds + outage.from_microseconds;
                let place = times.partition_point(|time| *time <= began);
                if let Some(slot) = place.checked_sub(1).and_then(|place| longest.get_mut(place)) {
                    *slot = (*slot).max(outage.to_microseconds - outage.from_microseconds);
                }
            }
        }
        longest.into_iter().map(Duration::from_micros).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Protocol;
    use crate::probe::stream::Outage;
    use crate::probe::{Flow, FlowReport};

    fn report(began: u64, outages: &[(u64, u64)]) -> StreamReport {
        let outage = |(from, to): &(u64, u64)| Outage {
            from_microseconds: *from,
            to_microseconds: *to,
            lost: 2,
            ended: true,
        };
        let flow = FlowReport {
            flow: Flow { protocol: Protocol::Udp, port: 1 },
            sent: 10,
            lost: 2 * outages.len() as u64,
            longest_gap_microseconds: 0,
            outages: outages.iter().map(outage).collect(),
        };
        StreamReport { began_unix_microseconds: began, flows: vec![flow] }
    }

    #[test]
    fn outages_belong_to_the_fault_before_them_and_to_their_path() {
        let reports = Reports(vec![
            (Path::Remote, report(1000, &[(50, 70), (500, 900)])),
            (Path::Internal, report(1100, &[(30, 90)])),
            (Path::Elsewhere, report(1000, &[(10, 9000)])),
        ]);
        let hit = [Path::Remote, Path::Internal];
        let after = reports.longest_after(&[1040, 1400, 1600], &hit);
        assert_eq!(after.iter().map(Duration::as_micros).collect::<Vec<_>>(), [60, 400, 0]);
        assert_eq!(reports.longest_outage(&hit).as_micros(), 400);
        assert_eq!((reports.sent(&hit), reports.lost(&hit), reports.lost(&[Path::Elsewhere])), (20, 6, 2));
    }
}
