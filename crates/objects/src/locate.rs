//! The line of a field in a document.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// The line of the field at `path`, such as `spec.podCIDRs[1]`, counted from 1 in `text`; that of what
/// encloses it where it is missing. 1 if the text cannot be parsed.
pub(crate) fn line(text: &str, path: &str) -> usize {
    let Ok(tree) = serde_saphyr::from_str::<Spanned<Tree>>(text) else { return 1 };
    let mut place = &tree;
    let mut line = tree.referenced.line();
    let mut rest = path.trim_start_matches('.');
    while let Some((inner, at, behind)) = place.value.enter(rest) {
        (place, line) = (inner, at);
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    usize::try_from(line).unwrap_or(1).max(1)
}

/// A document of which only the places are kept.
enum Tree {
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
    List(Vec<Spanned<Tree>>),
    Leaf,
}

impl Tree {
    /// The child that `path` begins with, its line, and the rest of the path.
    fn enter<'t, 'p>(&'t self, path: &'p str) -> Option<(&'t Spanned<Tree>, u64, &'p str)> {
        match self {
            // Keys may hold dots, as label keys do, so the keys say where a step ends.
            Tree::Map(fields) => fields.iter().find_map(|(name, inner)| {
                let rest = path.strip_prefix(name.value.as_str()).filter(|_| !name.value.is_empty())?;
                let ends = rest.is_empty() || rest.starts_with(['.', '[']);
                ends.then_some((inner, name.referenced.line(), rest))
            }),
            Tree::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, item.referenced.line(), rest))
            }
            Tree::Leaf => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

macro_rules! leaves {
    ($($visit:ident: $type:ty),+ $(,)?) => {
        $(fn $visit<E>(self, _: $type) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        })+
    };
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    leaves!(
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
        visit_f64: f64, visit_str: &str, visit_bytes: &[u8],
    );

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    const TEXT: &str = "\
apiVersion: v1
metadata:
  labels:
    causeway.dev/cluster: east
    causeway.dev: other
spec:
  podCIDRs:
  - 10.0.0.0/8

  - bad
  map: [{cidr: a,
    global: b}]
";

    #[test]
    fn fields_are_found_by_their_path() {
        assert_eq!(line(TEXT, "apiVersion"), 1);
        assert_eq!(line(TEXT, "metadata.labels.causeway.dev/cluster"), 4);
        assert_eq!(line(TEXT, "metadata.labels.causeway.dev"), 5);
        assert_eq!(line(TEXT, "spec.podCIDRs[1]"), 10);
        assert_eq!(line(TEXT, "spec.map[0].global"), 12);
    }

    #[test]
    fn a_missing_field_is_where_it_would_be() {
        assert_eq!(line(TEXT, "."), 1);
        assert_eq!(line(TEXT, "spec.podCIDRs[7]"), 7);
        assert_eq!(line("{not yaml", "spec"), 1);
        assert_eq!(line("{\n \"spec\":\n {\"a\":\n 1}}", "spec.a"), 3);
    }
}
