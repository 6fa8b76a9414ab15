//! The SDK's own tests, run by its own tools in an environment that is made here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools::{self, shown};

/// What the SDK's tests need.
const PACKAGES: [&str; 12] = [
    "msgspec>=0.19,<1",
    "pytest>=8,<10",
    "hypothesis>=6,<7",
    "mypy>=1.18,<2",
    "typing_extensions>=4",
    "numpy>=2,<3",
    "pandas>=2.2,<3",
    "pydantic>=2.7,<3",
    "ruff>=0.14,<1",
    "uvloop>=0.19,<1",
    "ipykernel>=6,<8",
    "nbclient>=0.10,<1",
];

#[test]
fn the_sdk_passes_its_tests() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/python");
    let mut pytest = Command::new(environment().join("bin/python"));
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "-rs", "tests"]).current_dir(&sdk);
    pytest.env("PYTHONPATH", sdk.join("src")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = pytest.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert!(shown(&output).contains(" passed"), "no test ran: {}", shown(&output));
    assert!(!shown(&output).contains("could not import"), "tests were skipped: {}", shown(&output));
}

pub fn environment() -> PathBuf {
    tools::venv("sdk-venv", &PACKAGES)
}
