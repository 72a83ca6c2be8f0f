//! JSON Schemas (draft 2020-12) of what commands print with `-o json`. `docs/schemas` holds them.

use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::bench::BenchReport;
use crate::dashboard::Dashboard;
use crate::doctor::DoctorReport;
use crate::explain::Explanation;
use crate::gather::GatherReport;
use crate::plan::PlanReport;
use crate::status::StatusReport;
use crate::version::VersionReport;

/// A command whose output has a schema.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// `causeway status`
    Status,
    /// `/dashboard.json` of `causeway dashboard`
    Dashboard,
    /// `causeway plan`
    Plan,
    /// `causeway explain`
    Explain,
    /// `causeway doctor`
    Doctor,
    /// `causeway version`
    Version,
    /// `causeway gather`
    Gather,
    /// `causeway bench`
    Bench,
}

impl Of {
    /// The command's word.
    pub fn word(self) -> &'static str {
        match self {
            Of::Status => "status",
            Of::Dashboard => "dashboard",
            Of::Plan => "plan",
            Of::Explain => "explain",
            Of::Doctor => "doctor",
            Of::Version => "version",
            Of::Gather => "gather",
            Of::Bench => "bench",
        }
    }

    /// The schema.
    pub fn schema(self) -> Value {
        let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let schema = match self {
            Of::Status => generator.into_root_schema_for::<StatusReport>(),
            Of::Dashboard => generator.into_root_schema_for::<Dashboard>(),
            Of::Plan => generator.into_root_schema_for::<PlanReport>(),
            Of::Explain => generator.into_root_schema_for::<Explanation>(),
            Of::Doctor => generator.into_root_schema_for::<DoctorReport>(),
            Of::Version => generator.into_root_schema_for::<VersionReport>(),
            Of::Gather => generator.into_root_schema_for::<GatherReport>(),
            Of::Bench => generator.into_root_schema_for::<BenchReport>(),
        };
        schema.to_value()
    }
}

/// Every command whose output has a schema, with that schema.
pub fn schemas() -> Vec<(&'static str, Value)> {
    Of::value_variants().iter().map(|of| (of.word(), of.schema())).collect()
}
