//! What doctor says.

use causeway_api::{Ip, PathEvidence, PathKind, ServiceEvidence};
use causeway_diagnosis::cause::Text;
use causeway_diagnosis::{Cause, Evidence, Finding, NodeEvidence};
use schemars::JsonSchema;
use serde::Serialize;

use crate::inventory::{Problem, show_problems};
use crate::report::{Outcome, Page, Report, Table, Tone};

/// What is wrong, and what was tested.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DoctorReport {
    /// Where the objects are.
    pub source: String,
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong, by code.
    pub findings: Vec<FindingReport>,
    /// The nodes that were asked.
    pub nodes: Vec<NodeReport>,
    /// What was not tested, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// Objects that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindingReport {
    /// What, in words and with its code.
    #[serde(flatten)]
    pub cause: CauseReport,
    /// Nodes, pairs of nodes, or objects that it is about.
    pub subjects: Vec<String>,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// A cause of the coded list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CauseReport {
    /// Its code.
    pub code: String,
    /// In a few words.
    pub title: String,
    /// What happens.
    pub explanation: String,
    /// Commands and fields that mend it.
    pub mend: Vec<String>,
}

/// A node that was asked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeReport {
    /// CLUSTER/NODE.
    pub node: String,
    /// Whether its agent answered.
    pub answered: bool,
    /// How its packets ended.
    pub paths: Vec<PathReport>,
    /// How its connections to Services ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceReport>,
    /// What it could not look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// How connections to one Service ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceReport {
    /// The cluster that it belongs to.
    pub cluster: String,
    /// What it is called there.
    pub name: String,
    /// Its address and port, as the node's cluster sees them.
    pub address: String,
    /// Connections that were tried.
    pub tried: i64,
    /// How many were answered.
    pub answered: i64,
    /// Requests that left the node untranslated; only for Services of its own cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untranslated: Option<i64>,
}

/// How packets to one address ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathReport {
    /// The node that has it, CLUSTER/NODE.
    pub to: String,
    /// `underlay`, `overlay` or `pod`.
    pub kind: String,
    /// The address.
    pub address: String,
    /// Small packets that were sent.
    pub sent: i64,
    /// How many were answered.
    pub answered: i64,
    /// Packets of full size that were sent.
    pub full_sent: i64,
    /// How many were answered.
    pub full_answered: i64,
    /// The shortest round-trip time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_microseconds: Option<i64>,
}

impl From<Cause> for CauseReport {
    fn from(cause: Cause) -> CauseReport {
        let Text { code, title, explanation, mend } = cause.text();
        CauseReport {
            code: code.to_owned(),
            title: title.to_owned(),
            explanation: explanation.to_owned(),
            mend: mend.iter().map(|line| (*line).to_owned()).collect(),
        }
    }
}

impl From<&PathEvidence> for PathReport {
    fn from(path: &PathEvidence) -> PathReport {
        let kind = match path.kind {
            PathKind::Underlay => "underlay",
            PathKind::Overlay => "overlay",
            PathKind::Pod => "pod",
        };
        PathReport {
            to: format!("{}/{}", path.cluster, path.node),
            kind: kind.to_owned(),
            address: path.address.to_string(),
            sent: path.sent,
            answered: path.answered,
            full_sent: path.full_sent,
            full_answered: path.full_answered,
            rtt_microseconds: path.rtt_microseconds,
        }
    }
}

impl From<&ServiceEvidence> for ServiceReport {
    fn from(service: &ServiceEvidence) -> ServiceReport {
        let Ip(address) = &service.address;
        let address = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        ServiceReport {
            cluster: service.cluster.clone(),
            name: service.name.clone(),
            address: format!("{address}:{}", service.port),
            tried: service.tried,
            answered: service.answered,
            untranslated: service.untranslated,
        }
    }
}

impl From<&NodeEvidence> for NodeReport {
    fn from(node: &NodeEvidence) -> NodeReport {
        let answer = node.answer.as_ref();
        let host = answer.and_then(|answer| answer.host.as_ref());
        NodeReport {
            node: node.id.to_string(),
            answered: answer.is_some(),
            paths: answer
                .map(|answer| answer.paths.iter().map(PathReport::from).collect())
                .unwrap_or_default(),
            services: answer
                .map(|answer| answer.services.iter().map(ServiceReport::from).collect())
                .unwrap_or_default(),
            unknown: host.map(|host| host.unknown.clone()).unwrap_or_default(),
        }
    }
}

impl DoctorReport {
    /// What was found by this evidence.
    pub fn new(
        source: String,
        evidence: &Evidence,
        findings: Vec<Finding>,
        problems: Vec<Problem>,
    ) -> DoctorReport {
        let finding = |Finding { cause, subjects, evidence }| FindingReport {
            cause: CauseReport::from(cause),
            subjects,
            evidence,
        };
        DoctorReport {
            source,
            healthy: findings.is_empty() && problems.is_empty(),
            findings: findings.into_iter().map(finding).collect(),
            nodes: evidence.nodes.iter().map(NodeReport::from).collect(),
            untested: Vec::new(),
            problems,
        }
    }

    fn head(&self, page: &mut Page) {
        let answered = self.nodes.iter().filter(|node| node.answered).count();
        let asked = format!("{answered} of {} nodes answered", self.nodes.len());
        if self.healthy {
            page.toned(Tone::Good, format!("nothing found in {}: {asked}", self.source));
        } else {
            let count = self.findings.len() + self.problems.len();
            page.toned(Tone::Bad, format!("{count} found in {}: {asked}", self.source));
        }
        for finding in &self.findings {
            let CauseReport { code, title, explanation, mend } = &finding.cause;
            page.heading(format!("{code} {title}"));
            page.line(format!("  {}", finding.subjects.join(", ")));
            page.line(format!("  {explanation}"));
            let mut table = Table::new(&[]);
            finding.evidence.iter().for_each(|line| table.row(["  saw".to_owned(), line.clone()]));
            mend.iter().for_each(|line| table.row(["  mend".to_owned(), line.clone()]));
            page.table(table);
        }
        if !self.untested.is_empty() {
            page.heading("NOT TESTED");
            self.untested.iter().for_each(|what| page.line(format!("  {what}")));
        }
        show_problems(page, &self.problems);
    }
}

impl Report for DoctorReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        self.head(&mut page);
        page
    }

    fn wide_page(&self) -> Page {
        let mut page = self.page();
        let mut table = Table::new(&["FROM", "TO", "KIND", "ADDRESS", "SMALL", "FULL", "RTT"]);
        for node in &self.nodes {
            for path in &node.paths {
                let rtt = path.rtt_microseconds.map(|rtt| format!("{}.{:03}ms", rtt / 1000, rtt % 1000));
                table.row([
                    node.node.clone(),
                    path.to.clone(),
                    path.kind.clone(),
                    path.address.clone(),
                    format!("{}/{}", path.answered, path.sent),
                    format!("{}/{}", path.full_answered, path.full_sent),
                    rtt.unwrap_or_default(),
                ]);
            }
            for service in &node.services {
                table.row([
                    node.node.clone(),
                    format!("{}: {}", service.cluster, service.name),
                    "service".to_owned(),
                    service.address.clone(),
                    format!("{}/{}", service.answered, service.tried),
                    String::new(),
                    String::new(),
                ]);
            }
            for unknown in &node.unknown {
                table.detail([format!("{} could not look at {unknown}", node.node)]);
            }
        }
        page.section("TESTED", table);
        page
    }

    fn outcome(&self) -> Outcome {
        if self.healthy { Outcome::Fine } else { Outcome::Findings }
    }
}

impl Report for CauseReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format!("{} {}", self.code, self.title));
        page.line("");
        page.line(&self.explanation);
        page.heading("MEND");
        self.mend.iter().for_each(|line| page.line(format!("  {line}")));
        page
    }
}
