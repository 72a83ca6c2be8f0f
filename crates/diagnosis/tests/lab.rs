//! Each cause has a test that makes it in the lab and expects exactly that verdict.

use std::fs;
use std::path::{Path, PathBuf};

use causeway_diagnosis::Cause;

/// The lab's tests of doctor.
fn tests() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lab/tests");
    let folder = fs::read_dir(tests.join("doctor")).expect("tests of doctor");
    let files = folder.map(|entry| entry.expect("an entry").path());
    files.chain([tests.join("kubernetes/doctor.rs")]).collect()
}

/// The codes that a line expects as a verdict.
fn expected(line: &str) -> Vec<&'static str> {
    let is_verdict = ["names(", "is_named(", "codes("].iter().any(|call| line.contains(call));
    let codes = Cause::ALL.iter().map(|cause| cause.code());
    codes.filter(|code| is_verdict && line.contains(&format!("\"{code}\""))).collect()
}

#[test]
fn each_cause_is_made_in_the_lab() {
    let texts: Vec<String> =
        tests().iter().map(|file| fs::read_to_string(file).expect("a readable file")).collect();
    let made: Vec<&str> = texts.iter().flat_map(|text| text.lines()).flat_map(expected).collect();
    let missing: Vec<String> =
        Cause::ALL.iter().filter(|cause| !made.contains(&cause.code())).map(ToString::to_string).collect();
    assert_eq!(missing, Vec::<String>::new(), "no test of the lab expects them");
}
