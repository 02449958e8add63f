//! Images: declared first, then their parts arrive; ready when all are there and what they are said to be.

use super::generic::Page;
use super::generic::PageQuery;
use crate::{
    caller::{Caller, Sees},
    controller::Controller,
    kind::Kind,
};
use api::{
    Condition, Image, ImageSpec, ImageStatus, NewObject, Verb, Vm,
    image::{ImageFormat, ImagePart},
};
use base::{ByteSize, Code, Error, Result};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use images::{BlobReader, Content, Digest};

/// Largest part of an image.
const MAX_PART: ByteSize = ByteSize::gib(1024);

/// The bytes of a part on their way in.
pub struct Upload<S> {
    /// Its size, where the client says it beforehand.
    pub size: Option<ByteSize>,
    /// Its digest, where the client says it beforehand.
    pub digest: Option<Digest>,
    /// The bytes.
    pub bytes: S,
}

impl Controller {
    /// All images.
    pub fn list_images(&self, query: &PageQuery) -> Page<Image> {
        self.list::<Image>(None, &Sees::Everything, query)
    }

    /// Declares an image. A synthetic one has no parts and is ready at once.
    pub async fn create_image(&self, caller: &Caller, new: NewObject<ImageSpec>) -> Result<Image> {
        if let Some(key) = &new.spec.key {
            ssh::KeyPair::from_openssh(key).map_err(|e| e.at("/spec/key"))?;
        }
        let mut status = ImageStatus::default();
        if new.spec.format == ImageFormat::Synthetic {
            status.ready = true;
            status.conditions = vec![ready_condition(true, "there is nothing to upload")];
        } else {
            let parts = new.spec.format.parts().join(" and ");
            status.conditions = vec![ready_condition(false, &format!("waits for its {parts}"))];
        }
        self.create_simple(caller, None, new, status).await
    }

    /// Takes in one part of an image: streamed to the disk, its digest computed on the way, its content inspected, and
    /// only then a part of the image.
    pub async fn put_image_part<S>(
        &self,
        caller: &Caller,
        name: &str,
        part: &str,
        upload: Upload<S>,
    ) -> Result<Image>
    where
        S: Stream<Item = Result<Bytes>> + Send + Unpin,
    {
        let image = self.find::<Image>(None, name)?;
        let format = image.spec.format;
        let content = Content::of(format, part).ok_or_else(|| {
            Error::not_found(format!("the image '{name}' has no part '{part}'"))
                .hint(format!("its parts are: {}", format.parts().join(", ")))
        })?;
        if image.status.ready {
            return Err(Error::conflict(format!("the image '{name}' is complete and never changes"))
                .hint("import it under another name, or delete this one first"));
        }
        let (blob, facts) = self.receive(upload, content).await?;
        let part =
            ImagePart { name: part.to_owned(), digest: blob.digest.to_string(), size: ByteSize(blob.size) };
        let uid = image.metadata.uid;
        let image = self
            .writer()
            .update::<Image>(uid, |image, change| {
                image.status.parts.retain(|p| p.name != part.name);
                image.status.parts.push(part.clone());
                image.status.virtual_size = image.status.virtual_size.max(facts.virtual_size);
                let missing: Vec<_> = format
                    .parts()
                    .iter()
                    .filter(|p| image.status.parts.iter().all(|have| have.name != **p))
                    .copied()
                    .collect();
                image.status.ready = missing.is_empty();
                let message = if missing.is_empty() {
                    "all its parts are there".to_owned()
                } else {
                    format!("waits for its {}", missing.join(" and "))
                };
                image.status.conditions = vec![ready_condition(image.status.ready, &message)];
                let m = &image.metadata;
                change.event(
                    "image",
                    m,
                    "PartArrived",
                    format!("{} {} {}", part.name, part.digest, part.size),
                )?;
                change.audit(caller, Verb::Create, None, "ok")?;
                Ok(true)
            })
            .await?;
        Ok(crate::codec::redacted(Image::clone(&image)))
    }

    async fn receive<S>(
        &self,
        mut upload: Upload<S>,
        content: Content,
    ) -> Result<(images::Blob, images::ImageFacts)>
    where
        S: Stream<Item = Result<Bytes>> + Send + Unpin,
    {
        let mut writer = self.blobs().create(MAX_PART, upload.size).await?;
        while let Some(bytes) = upload.bytes.next().await {
            writer.write(bytes?).await?;
        }
        if upload.size.is_some_and(|size| size.bytes() != writer.written()) {
            return Err(Error::new(Code::Invalid, "the upload ended early").hint("send the file again"));
        }
        writer.flush().await?;
        let facts = images::inspect(writer.path(), content).await?;
        let blob = writer.finish(upload.digest.as_ref()).await?;
        Ok((blob, facts))
    }

    /// Opens a part of any image by its digest.
    pub async fn read_blob(&self, digest: &Digest, offset: u64, length: Option<u64>) -> Result<BlobReader> {
        self.blobs().read(digest, offset, length).await
    }

    /// Removes an image that no VM uses, and what only it was made of.
    pub async fn delete_image(&self, caller: &Caller, name: &str) -> Result<()> {
        self.delete_simple::<Image>(caller, None, name, |image, _| {
            let uid = image.metadata.uid;
            let users =
                self.read(|t| Vm::table(t).iter().filter(|vm| vm.status.image_uid == Some(uid)).count());
            if users == 0 {
                return Ok(());
            }
            Err(Error::conflict(format!("the image '{name}' is used by {users} VMs"))
                .hint("delete those VMs first: their disks are made on it"))
        })
        .await?;
        self.collect_blobs().await;
        Ok(())
    }

    /// Deletes the files that no image has. A failure is logged: the next deletion tries again.
    async fn collect_blobs(&self) {
        let used: std::collections::HashSet<String> = self.read(|t| {
            t.images.iter().flat_map(|i| i.status.parts.iter().map(|p| p.digest.clone())).collect()
        });
        let blobs = self.blobs().clone();
        let collected = rt::task::blocking(move || {
            for blob in blobs.list()? {
                if !used.contains(&blob.digest.to_string()) {
                    blobs.delete(&blob.digest)?;
                }
            }
            Ok::<_, Error>(())
        });
        if let Err(e) = collected.await.and_then(|r| r) {
            tracing::warn!(error = %e, "files of deleted images could not be removed");
        }
    }
}

fn ready_condition(status: bool, message: &str) -> Condition {
    Condition {
        kind: "Ready".into(),
        status,
        reason: if status { "Complete" } else { "Incomplete" }.into(),
        message: message.into(),
        since: rt::clock::wall(),
    }
}
