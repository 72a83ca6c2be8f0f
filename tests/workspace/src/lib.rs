//! Holds the tests that judge the workspace itself; see `tests/`.
