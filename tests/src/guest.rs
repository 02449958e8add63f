//! The tiny guest image, for tests that boot real machines.

use std::path::{Path, PathBuf};

/// Says that a test skips itself. The test command fails on a skip that is not in `tests/skips.txt`.
pub fn skip(test: &str, reason: &str) {
    #[allow(clippy::disallowed_macros)] // the test command reads it
    {
        println!("SKIPPED {test}: {reason}");
    }
}

/// Where the guest image is (`HOSTLER_TEST_GUEST`, else `target/guest`), or `None` where it was not built.
pub fn guest_image() -> Option<PathBuf> {
    let dir = crate::from_environment("HOSTLER_TEST_GUEST").unwrap_or_else(|| {
        crate::from_environment("CARGO_TARGET_DIR")
            .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into())
            .join("guest")
    });
    dir.join("image.json").exists().then_some(dir)
}

/// Where `scripts/packages.sh` puts Debian packages that tests unpack, or why one is missing.
///
/// # Errors
/// The reason.
pub fn unpacked_packages(name: &str) -> Result<PathBuf, String> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debs"));
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = files.map(|f| f.file_name().to_string_lossy().into_owned());
    match dir.canonicalize() {
        Ok(dir) if names.any(|file| file.starts_with(&format!("{name}_"))) => Ok(dir),
        _ => Err(format!("the package {name} was not downloaded (scripts/packages.sh --tests)")),
    }
}
