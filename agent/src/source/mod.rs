//! Where an agent's objects come from, and where its status goes: a directory, or the API server of its
//! own cluster.

mod asking;
mod directory;
mod member;
mod underlay;

pub use directory::Directory;
pub use member::Member;

use causeway_api::{Diagnosis, DiagnosisStatus, LinkState};

use crate::plans::Known;
use crate::report::Report;

/// A source of one node's plans.
pub enum Source {
    /// A directory of YAML objects.
    Directory(Box<Directory>),
    /// The API server of the node's cluster.
    Member(Box<Member>),
}

impl Source {
    /// Waits until what is known changes, or may have. Giving up waiting loses nothing.
    pub async fn changed(&mut self) -> bool {
        match self {
            Source::Directory(directory) => directory.changed().await,
            Source::Member(member) => member.changed().await,
        }
    }

    /// What is known now.
    pub fn known(&self) -> Known<'_> {
        match self {
            Source::Directory(directory) => directory.plans().known(),
            Source::Member(member) => member.plans().known(),
        }
    }

    /// Whether what is known is all that there is to know: a source that has not answered yet, or holds a
    /// NodeConfig that cannot be used and knew no other before, leaves open what the node is to do.
    pub fn has_told(&self) -> bool {
        match self {
            Source::Directory(_) => true,
            Source::Member(member) => member.has_told(),
        }
    }

    /// How the links were, as the node's status told last.
    pub fn told_links(&self) -> &[LinkState] {
        let plans = match self {
            Source::Directory(directory) => directory.plans(),
            Source::Member(member) => member.plans(),
        };
        let status = plans.config().and_then(|config| config.status.as_ref());
        status.map(|status| status.links.as_slice()).unwrap_or_default()
    }

    /// Nothing is left of what the node took part in.
    pub fn cleaned_up(&mut self) {
        match self {
            Source::Directory(directory) => directory.cleaned_up(),
            Source::Member(member) => member.cleaned_up(),
        }
    }

    /// What this node is asked to test.
    pub fn asked(&self) -> Option<&Diagnosis> {
        match self {
            Source::Directory(directory) => directory.asked(),
            Source::Member(member) => member.asked(),
        }
    }

    /// Tells what was found.
    pub fn answer(&mut self, status: DiagnosisStatus) {
        match self {
            Source::Directory(directory) => directory.answer(status),
            Source::Member(member) => member.answer(status),
        }
    }

    /// Tells how it went.
    pub fn report(&mut self, report: Report) {
        match self {
            Source::Directory(directory) => directory.report(&report),
            Source::Member(member) => member.report(report),
        }
    }
}
