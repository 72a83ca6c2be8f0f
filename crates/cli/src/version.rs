//! `causeway version`.

use serde::Serialize;

use crate::report::{Page, Report};

/// Which program this is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionReport {
    client: &'static str,
    api_version: &'static str,
}

/// The version of this program and of the objects that it reads.
pub fn report() -> VersionReport {
    VersionReport { client: env!("CARGO_PKG_VERSION"), api_version: causeway_api::API_VERSION }
}

impl Report for VersionReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format!("causeway {}", self.client));
        page.line(format!("objects  {}", self.api_version));
        page
    }
}
