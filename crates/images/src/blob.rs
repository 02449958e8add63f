//! Files on disk, named by their content.

use crate::{BlobReader, BlobWriter, Digest, digest::Hasher};
use base::{ByteSize, Code, Error, Result};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes that writing leaves free on the file system, so that a filling store does not stop everything else on it.
const KEPT_FREE: u64 = 256 << 20;

/// One file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A directory of files named by their content: `blobs/sha256/<hex>`. What is there is whole and was checked; files
/// that are still being written are in `partial/`. Belongs to one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore(Arc<Dirs>);

#[derive(Debug)]
struct Dirs {
    blobs: PathBuf,
    partial: PathBuf,
}

pub(crate) const UPLOAD: &str = "upload-";

impl BlobStore {
    /// Opens the store in `dir`, or makes one. Uploads that an earlier process left unfinished are removed; unfinished
    /// downloads stay, to be continued.
    pub fn open(dir: &Path) -> Result<Self> {
        let dirs = Dirs { blobs: dir.join("blobs/sha256"), partial: dir.join("partial") };
        rt::files::private_dir(&dirs.blobs)?;
        rt::files::private_dir(&dirs.partial)?;
        for name in names(&dirs.partial)?.filter(|n| n.starts_with(UPLOAD)) {
            let path = dirs.partial.join(name);
            fs::remove_file(&path).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))?;
        }
        Ok(BlobStore(Arc::new(dirs)))
    }

    /// Where this content is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.blobs.join(digest.hex())
    }

    /// Where this content grows while it is downloaded.
    pub(crate) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.0.partial.join(digest.hex())
    }

    pub(crate) fn upload_path(&self) -> PathBuf {
        self.0.partial.join(format!("{UPLOAD}{}", rt::ids::uid()))
    }

    /// The size of this content, or `None` where it is not here.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|m| m.len())
    }

    /// Whether this content is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.size(digest).is_some()
    }

    /// Begins a new file of at most `limit` bytes, whose digest is not known yet. `expected` is its size where that is
    /// known: it is refused at once where it would not fit.
    ///
    /// # Errors
    /// [`Code::TooLarge`] above the limit, [`Code::Exhausted`] without free space.
    pub async fn create(&self, limit: ByteSize, expected: Option<ByteSize>) -> Result<BlobWriter> {
        if expected.is_some_and(|size| size > limit) {
            return Err(too_large(limit));
        }
        self.reserve(expected.unwrap_or_default().bytes())?;
        BlobWriter::upload(self.clone(), limit).await
    }

    /// Says whether `more` bytes can be written.
    ///
    /// # Errors
    /// [`Code::Exhausted`] when less than 256 MiB would stay free.
    pub fn reserve(&self, more: u64) -> Result<()> {
        let (free, _) = rt::files::disk_space(&self.0.blobs)?;
        if free >= more.saturating_add(KEPT_FREE) {
            return Ok(());
        }
        let missing = more.saturating_add(KEPT_FREE) - free;
        Err(Error::new(Code::Exhausted, "the disk has not enough room for this image")
            .because(format!(
                "{} are free in {}; {} more are needed",
                ByteSize(free),
                self.0.blobs.display(),
                ByteSize(missing)
            ))
            .hint("free space there, for instance by deleting images that no VM uses: hostler image delete NAME"))
    }

    /// Opens a file for reading `length` bytes from `offset`; `None` reads to the end.
    ///
    /// # Errors
    /// [`Code::NotFound`] where it is not here; [`Code::Invalid`] for a range that it does not have.
    pub async fn read(&self, digest: &Digest, offset: u64, length: Option<u64>) -> Result<BlobReader> {
        BlobReader::open(self.path(digest), *digest, offset, length).await
    }

    /// All files, in the order of their digests.
    pub fn list(&self) -> Result<Vec<Blob>> {
        let mut blobs: Vec<Blob> = names(&self.0.blobs)?
            .filter_map(|name| Digest::from_hex(&name))
            .filter_map(|digest| self.size(&digest).map(|size| Blob { digest, size }))
            .collect();
        blobs.sort_unstable_by_key(|b| b.digest);
        Ok(blobs)
    }

    /// The digests of unfinished downloads.
    pub(crate) fn list_partial(&self) -> Result<Vec<Digest>> {
        Ok(names(&self.0.partial)?.filter_map(|name| Digest::from_hex(&name)).collect())
    }

    /// Removes a file. One that is not there is not an error.
    pub fn delete(&self, digest: &Digest) -> Result<()> {
        remove(&self.path(digest))
    }

    /// Forgets the unfinished download of this content.
    pub(crate) fn delete_partial(&self, digest: &Digest) -> Result<()> {
        remove(&self.partial_path(digest))
    }

    /// Reads a whole file again and says whether its content is still what its name says. Slow: one read of the file.
    ///
    /// # Errors
    /// [`Code::NotFound`] where it is not here.
    pub async fn verify(&self, digest: &Digest) -> Result<bool> {
        let path = self.path(digest);
        let wanted = *digest;
        let doing = format!("read {}", path.display());
        let found = rt::task::blocking(move || hash_file(&path)).await?;
        Ok(found.map_err(|e| Error::io(doing, &e))?.finish() == wanted)
    }
}

pub(crate) fn too_large(limit: ByteSize) -> Error {
    Error::new(Code::TooLarge, format!("the file is larger than {limit}"))
        .hint("compact it: qemu-img convert -O qcow2 -c OLD NEW.qcow2")
}

/// The hasher that has seen all of a file.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<Hasher> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn names(dir: &Path) -> Result<impl Iterator<Item = String>> {
    let doing = |e: std::io::Error| Error::io(format_args!("list {}", dir.display()), &e);
    let entries = fs::read_dir(dir).map_err(doing)?.collect::<Result<Vec<_>, _>>().map_err(doing)?;
    Ok(entries.into_iter().filter_map(|e| e.file_name().into_string().ok()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
