//! Files broken in any way: no panic, and no document in another file or another part is lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use causeway_objects::Store;
use common::{cluster, cluster_status, clusters, put};
use proptest::prelude::*;

/// One way to break a text.
#[derive(Clone, Debug)]
enum Mutation {
    Cut(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, String),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let token = prop_oneof![
        Just("---\n".to_owned()),
        Just("\n...\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("\t".to_owned()),
        Just("&a *a ".to_owned()),
        Just("!!binary ".to_owned()),
        Just("<<: *a\n".to_owned()),
        Just("? - : [{".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\0".to_owned()),
        "[-:#'\"|>&*!%@`{}\\[\\], \n]{1,6}",
        any::<String>(),
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Mutation::Cut(a, b)),
        (any::<prop::sample::Index>(), token).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for mutation in mutations {
        if chars.is_empty() {
            break;
        }
        match mutation {
            Mutation::Cut(a, b) => {
                let (a, b) = (a.index(chars.len()), b.index(chars.len()));
                chars.drain(a.min(b)..a.max(b));
            }
            Mutation::Insert(at, text) => {
                let at = at.index(chars.len());
                chars.splice(at..at, text.chars());
            }
            Mutation::Swap(a, b) => {
                let (a, b) = (a.index(chars.len()), b.index(chars.len()));
                chars.swap(a, b);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_broken_file_harms_nobody_else(
        mutations in prop::collection::vec(mutation(), 1..6),
        json in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let victim = cluster("victim", "10.5.0.0/16");
        let first = format!("{}---\n{victim}---\n{}", cluster("a", "10.1.0.0/16"), cluster_status("a", "198.18.0.0/24"));
        let name = if json { "v.json" } else { "v.yaml" };
        let whole = if json {
            r#"{"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "victim"}, "spec": {}}"#
        } else {
            &first
        };
        put(dir.path(), name, whole);
        put(dir.path(), "good.yaml", &cluster("good", "10.9.0.0/16"));
        let mut store = Store::open(dir.path()).unwrap();
        let before = clusters(&store);

        let broken = mutate(whole, &mutations);
        put(dir.path(), name, &broken);
        store.refresh();
        prop_assert!(clusters(&store).contains(&"good 10.9.0.0/16".to_owned()));
        // What was there is lost only to a file that reads well.
        let fatal = store.problems().iter().any(|problem| !problem.cause.is_warning());
        if fatal && store.problems().iter().all(|p| !p.to_string().contains("comes first")) {
            prop_assert!(clusters(&store).len() >= before.len(), "{broken:?} {:?}", store.problems());
        }
        // A store that opens it like this says the same of it, and does not panic either.
        let fresh = Store::open(dir.path()).unwrap();
        for object in fresh.objects().iter() {
            prop_assert!(store.get(&object.key()).is_some(), "{broken:?}");
        }

        put(dir.path(), name, whole);
        store.refresh();
        prop_assert_eq!(clusters(&store), before);
        prop_assert_eq!(store.problems(), vec![]);
    }

    #[test]
    fn a_broken_document_leaves_those_around_it(mutations in prop::collection::vec(mutation(), 1..6)) {
        let broken = mutate(&cluster("victim", "10.5.0.0/16"), &mutations);
        // A marker in it ends the document, so it cannot reach its neighbours; a name in it can.
        prop_assume!(!broken.contains("name: a") && !broken.contains("name: z"));
        let dir = tempfile::tempdir().unwrap();
        let (a, z) = (cluster("a", "10.1.0.0/16"), cluster("z", "10.2.0.0/16"));
        put(dir.path(), "x.yaml", &format!("{a}---\n{broken}\n---\n{z}"));
        let held = clusters(&Store::open(dir.path()).unwrap());
        prop_assert!(held.contains(&"a 10.1.0.0/16".to_owned()), "{broken:?} {held:?}");
        prop_assert!(held.contains(&"z 10.2.0.0/16".to_owned()), "{broken:?} {held:?}");
    }
}
