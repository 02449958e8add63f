//! Where the fleet is.

use base::{Error, Result};
use std::path::{Path, PathBuf};

/// The file that makes a directory a fleet directory.
pub const FILE: &str = "hostler.yaml";

/// The directory itself or the nearest above it that has a `hostler.yaml`.
pub fn find(from: &Path) -> Result<PathBuf> {
    let found = from.ancestors().find(|dir| dir.join(FILE).is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Error::not_found(format!("there is no {FILE} in {} nor above it", from.display()))
            .hint("go to a fleet directory, or name one with --fleet-dir")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_directory_above_is_found() {
        let top = tempfile::TempDir::new().unwrap();
        let deep = top.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(find(&deep).unwrap_err().code, base::Code::NotFound);
        std::fs::write(top.path().join(FILE), "").unwrap();
        assert_eq!(find(&deep).unwrap(), top.path());
        std::fs::write(top.path().join("a").join(FILE), "").unwrap();
        assert_eq!(find(&deep).unwrap(), top.path().join("a"));
    }
}
