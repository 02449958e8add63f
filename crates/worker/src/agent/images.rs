//! The images of this host: which are here, getting those that are not, removing those that nobody needs.

use super::keeper::Keeper;
use crate::runtimes::{DiskFormat, ImageFiles};
use api::{
    assignment::Work,
    image::{ImageFormat, ImagePart},
};
use base::{Error, Result, Uid};
use images::{BlobStore, Digest, Fetcher, Part, Progress, Source};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

const FILE: &str = "images.json";
const VERSION: u32 = 1;

/// The images of a host.
pub struct Images {
    fetcher: Option<Fetcher>,
    keeper: Keeper,
    known: Mutex<Known>,
}

/// Which files belong to which image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    version: u32,
    images: BTreeMap<Uid, Vec<Piece>>,
}

/// A file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    digest: Digest,
    size: base::ByteSize,
}

impl Images {
    /// The images under the keeper's directory, fetched from `source`. Without a directory there are none.
    pub fn open(keeper: &Keeper, source: Option<Arc<dyn Source>>) -> Result<Self> {
        let fetcher = match (keeper.dir(), source) {
            (Some(dir), Some(source)) => Some(Fetcher::new(BlobStore::open(&dir.join("images"))?, source)),
            _ => None,
        };
        let known = keeper.load(FILE, VERSION)?.unwrap_or_default();
        Ok(Images { fetcher, keeper: keeper.clone(), known: Mutex::new(known) })
    }

    /// Whether all that this work starts from is here.
    pub fn has(&self, work: &Work) -> bool {
        let Ok(parts) = parts(work) else { return false };
        parts.is_empty() || self.fetcher.as_ref().is_some_and(|f| f.has_all(&parts))
    }

    /// How far the files of this work have come.
    pub fn progress(&self, work: &Work) -> Progress {
        match (parts(work), &self.fetcher) {
            (Ok(parts), Some(fetcher)) => fetcher.progress(&parts),
            _ => Progress::default(),
        }
    }

    /// Gets the files of this work.
    pub async fn fetch(&self, work: &Work) -> Result<()> {
        let parts = parts(work)?;
        let Some(fetcher) = &self.fetcher else {
            return Err(Error::unavailable("this worker keeps no images"));
        };
        fetcher.fetch(&parts).await?;
        let known = {
            let mut known = self.known.lock();
            let parts = parts.iter().map(|p| Piece { digest: p.digest, size: p.size }).collect();
            known.version = VERSION;
            if known.images.get(&work.image_uid) == Some(&parts) {
                return Ok(());
            }
            known.images.insert(work.image_uid, parts);
            known.clone()
        };
        self.keeper.save(FILE, &known).await
    }

    /// The images that are here, whole.
    pub fn held(&self) -> Vec<Uid> {
        let Some(fetcher) = &self.fetcher else { return Vec::new() };
        let known = self.known.lock();
        let whole =
            |parts: &[Piece]| parts.iter().all(|p| fetcher.store().size(&p.digest) == Some(p.size.bytes()));
        known.images.iter().filter(|(_, parts)| whole(parts)).map(|(uid, _)| *uid).collect()
    }

    /// Removes files that are neither among `digests` nor part of one of these `images`.
    pub async fn collect(&self, images: &[Uid], digests: HashSet<Digest>) -> Result<()> {
        let Some(fetcher) = &self.fetcher else { return Ok(()) };
        let mut keep = digests;
        {
            let known = self.known.lock();
            keep.extend(images.iter().filter_map(|i| known.images.get(i)).flatten().map(|p| p.digest));
        }
        let freed = fetcher.collect(keep).await?;
        if freed > 0 {
            tracing::info!(freed = %base::ByteSize(freed), "removed images that no VM here needs");
        }
        self.forget_lost().await
    }

    /// Forgets images whose files are gone.
    async fn forget_lost(&self) -> Result<()> {
        let held: HashSet<Uid> = self.held().into_iter().collect();
        let known = {
            let mut known = self.known.lock();
            let before = known.images.len();
            known.images.retain(|uid, _| held.contains(uid));
            if known.images.len() == before {
                return Ok(());
            }
            known.clone()
        };
        self.keeper.save(FILE, &known).await
    }

    /// The files as a runtime wants them.
    pub fn files(&self, work: &Work) -> Result<ImageFiles> {
        let part = |name: &str| {
            let part = work.parts.iter().find(|p| p.name == name);
            let digest: Digest =
                part.ok_or_else(|| Error::internal(format!("the image has no {name}")))?.digest.parse()?;
            let store = self.fetcher.as_ref().map(Fetcher::store);
            Ok::<_, Error>(store.map(|s| s.path(&digest)).unwrap_or_default())
        };
        let disk = |format| Ok(ImageFiles::Disk { path: part("disk")?, format });
        match work.image.format {
            ImageFormat::Qcow2 => disk(DiskFormat::Qcow2),
            ImageFormat::Raw => disk(DiskFormat::Raw),
            ImageFormat::Kernel => Ok(ImageFiles::Kernel {
                kernel: part("kernel")?,
                initrd: part("initrd")?,
                command_line: work.image.command_line.clone(),
            }),
            ImageFormat::Synthetic => Ok(ImageFiles::Synthetic),
        }
    }
}

/// The digests of an image's files.
pub fn digests(parts: &[ImagePart]) -> Vec<Digest> {
    parts.iter().filter_map(|p| p.digest.parse().ok()).collect()
}

/// The files that this work needs. Synthetic machines need none, whatever the image.
fn parts(work: &Work) -> Result<Vec<Part>> {
    if work.runtime == crate::agent::SYNTHETIC {
        return Ok(Vec::new());
    }
    work.parts.iter().map(|p| Ok(Part { digest: p.digest.parse()?, size: p.size })).collect()
}
