//! Applying objects, and telling what became of them; or printing them instead, for those who keep
//! objects in files.

use causeway_kubernetes::{Client, Given, NameRef, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::report::{Format, Page, Report, Table};

/// The name under which the command line owns fields.
pub const MANAGER: &str = "causeway";

/// Whether objects are applied or printed.
#[derive(Args, Debug, Clone)]
pub struct OutputArgs {
    /// Print the objects that would be applied, and apply none
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: print only the objects of this side
    #[arg(long, value_enum, value_name = "SIDE", requires = "dry_run")]
    pub only: Option<Side>,
    /// How to print the answer; with --dry-run, yaml and json print whole objects
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// An API server by its part in a clusterset.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The hub
    Hub,
    /// The member
    Member,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Side::Hub => "hub",
            Side::Member => "member",
        }
    }
}

/// What became of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// Made, or changed.
    Applied,
    /// It was so already.
    Unchanged,
    /// Deleted.
    Deleted,
    /// It would be applied.
    Planned,
}

/// One object, and what became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    side: Side,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    became: Became,
}

/// What a command did to the objects of hub and member.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    objects: Vec<Line>,
    /// What else there is to say.
    notes: Vec<String>,
    /// What is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl Changes {
    /// Takes down what became of an object.
    pub fn add(&mut self, side: Side, object: &NameRef, became: Became) {
        let NameRef { kind, namespace, name, .. } = object.clone();
        self.objects.push(Line { side, kind, namespace, name, became });
    }

    /// Something else to say.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Something that is not as it should be.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Applies `objects` in their order, each only if it is not so already.
    ///
    /// # Errors
    /// [`Error::Request`] at the first that is refused.
    pub async fn apply(&mut self, side: Side, client: &Client, objects: &[Value]) -> Result<(), Error> {
        for object in objects {
            let given = ensure(client, MANAGER, object).await.map_err(Error::Request)?;
            let became = if given == Given::Already { Became::Unchanged } else { Became::Applied };
            if let Some(name) = NameRef::of(object) {
                self.add(side, &name, became);
            }
        }
        Ok(())
    }
}

impl Report for Changes {
    fn page(&self) -> Page {
        let mut page = Page::default();
        let mut table = Table::new(&["SIDE", "KIND", "NAMESPACE", "NAME", ""]);
        for Line { side, kind, namespace, name, became } in &self.objects {
            let became = match became {
                Became::Applied => "applied",
                Became::Unchanged => "unchanged",
                Became::Deleted => "deleted",
                Became::Planned => "would be applied",
            };
            let namespace = namespace.clone().unwrap_or_else(|| "-".to_owned());
            table.row([side.as_str().to_owned(), kind.clone(), namespace, name.clone(), became.to_owned()]);
        }
        if !table.is_empty() {
            page.table(table);
        }
        for note in &self.notes {
            page.line(note);
        }
        for problem in &self.problems {
            page.toned(crate::report::Tone::Bad, problem);
        }
        page
    }

    fn outcome(&self) -> crate::report::Outcome {
        if self.problems.is_empty() { crate::report::Outcome::Fine } else { crate::report::Outcome::Findings }
    }
}

/// Objects that would be applied, by the API server that they are for.
pub struct Planned(pub Vec<(Side, Vec<Value>)>);

impl Planned {
    /// The objects as text: YAML documents, or one JSON `List` for each side; else a table of names.
    ///
    /// # Errors
    /// [`Error::Yaml`], [`Error::Json`]: a defect of this program.
    pub fn text(&self, args: &OutputArgs) -> Result<String, Error> {
        let sides = self.0.iter().filter(|(side, _)| args.only.is_none_or(|only| only == *side));
        let mut text = String::new();
        match args.output {
            Format::Yaml => {
                for (side, objects) in sides {
                    for (index, object) in objects.iter().enumerate() {
                        text.push_str("---\n");
                        if index == 0 {
                            text.push_str(&format!("# For the {}, in this order.\n", side.as_str()));
                        }
                        let object = serde_saphyr::to_string(object);
                        text.push_str(&object.map_err(|error| Error::Yaml(Box::new(error)))?);
                    }
                }
            }
            Format::Json => {
                for (_, objects) in sides {
                    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
                    text.push_str(&serde_json::to_string_pretty(&list).map_err(Error::Json)?);
                    text.push('\n');
                }
            }
            Format::Table | Format::Wide => {
                let mut changes = Changes::default();
                for (side, objects) in sides {
                    for name in objects.iter().filter_map(NameRef::of) {
                        changes.add(*side, &name, Became::Planned);
                    }
                }
                changes.note("nothing was applied; -o yaml prints the objects");
                text = changes.page().text(0, crate::report::Colour::Off);
            }
        }
        Ok(text)
    }
}
