//! The tiny guest image, for tests that boot real machines.

use std::path::PathBuf;

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
