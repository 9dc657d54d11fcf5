//! Agent to API with real processes: the tests are in `tests/e2e`, one binary; this library is empty.
