//! Objects of a text that belongs to no directory, such as the output of another program.

use std::path::PathBuf;
use std::sync::Arc;

use causeway_api::Object;

use crate::document::{Body, Contents, Reader};
use crate::problem::{OpenError, Problem};
use crate::store::{Filter, known_fields};

/// What a text holds.
#[derive(Debug, Default)]
pub struct Text {
    /// Its objects, in order.
    pub objects: Vec<Arc<Object>>,
    /// What of it is not used, and why.
    pub problems: Vec<Problem>,
    /// Documents that are an object's status alone, or of other groups.
    pub others: usize,
}

/// Reads YAML, or JSON where the ending of `name` says so. `name` is how problems call the text.
///
/// # Errors
/// [`OpenError::Fields`]: a defect of this program.
pub fn read_text(name: impl Into<PathBuf>, bytes: &[u8]) -> Result<Text, OpenError> {
    let file: Arc<PathBuf> = Arc::new(name.into());
    let filter = Filter::all();
    let mut reader = Reader { file, filter: &filter, known: known_fields()?, contents: Contents::default() };
    reader.read(bytes);
    let Contents { documents, problems, count, broken: _ } = reader.contents;
    let mut objects = Vec::new();
    for document in documents {
        if let Body::Whole(object) = document.body {
            objects.push(object);
        }
    }
    let unusable = problems.iter().filter(|problem| !problem.cause.is_warning()).count();
    let others = count.saturating_sub(objects.len() + unusable);
    Ok(Text { objects, problems, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_documents_are_used_and_bad_ones_are_named_with_their_line() {
        let text = b"kind: Cluster\napiVersion: causeway.dev/v1alpha1\nmetadata: {name: a}\nspec: {}\n---\n[1]\n---\n\
            kind: Pod\napiVersion: v1\nmetadata: {name: p}\n";
        let Text { objects, problems, others } = read_text("x.yaml", text).unwrap();
        assert_eq!((objects.len(), problems.len(), others), (1, 1, 1));
        assert_eq!(objects[0].key().to_string(), "Cluster a");
        assert_eq!(problems[0].location.to_string(), "x.yaml:6");
    }
}
