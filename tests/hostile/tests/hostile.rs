//! A share of the hostile documents of `make soak`.

use causeway_hostile::run;

#[test]
fn hostile_documents_do_no_harm_and_what_is_wrong_with_them_is_named() {
    let summary = run(0, 3_000).unwrap_or_else(|harm| panic!("{harm}"));
    // The generator is worth something: it makes documents of both sorts.
    assert!(summary.used > 300 && summary.refused > 300 && summary.commands > 100, "{summary:?}");
}
