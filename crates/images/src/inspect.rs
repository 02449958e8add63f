//! Is this file the image it is said to be? Asked of the header first, by our own reading: nothing else may open a file
//! that names other files.

use crate::magic;
use api::image::ImageFormat;
use base::{ByteSize, Code, Error, Result};
use serde::Deserialize;
use std::{fs::File, io::Read, path::Path, time::Duration};

/// What a file of an image is said to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A disk in QEMU's copy-on-write format.
    Qcow2,
    /// A disk, byte for byte.
    Raw,
    /// A kernel.
    Kernel,
    /// An initial RAM disk.
    Initrd,
}

impl Content {
    /// What the part `part` (`disk`, `kernel`, `initrd`) of an image of this format holds; `None` where it has no such
    /// part.
    pub fn of(format: ImageFormat, part: &str) -> Option<Self> {
        match (format, part) {
            (ImageFormat::Qcow2, "disk") => Some(Content::Qcow2),
            (ImageFormat::Raw, "disk") => Some(Content::Raw),
            (ImageFormat::Kernel, "kernel") => Some(Content::Kernel),
            (ImageFormat::Kernel, "initrd") => Some(Content::Initrd),
            _ => None,
        }
    }
}

/// What was found out about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// What it holds.
    pub content: Content,
    /// Size of the disk that a guest sees; zero for a kernel or an initial RAM disk.
    pub virtual_size: ByteSize,
}

/// Proves that a file holds what it is said to hold, and that it names no other file: first by its header, then, for
/// qcow2 and where `qemu-img` is installed, by that.
///
/// # Errors
/// [`Code::Invalid`], saying what is wrong with the file; [`Code::Timeout`] where `qemu-img` takes over 30 s.
pub async fn inspect(path: &Path, content: Content) -> Result<ImageFacts> {
    let file = path.to_owned();
    let facts = rt::task::blocking(move || inspect_header(&file, content)).await??;
    if content == Content::Qcow2 {
        confirm(path, &facts).await?;
    }
    Ok(facts)
}

fn inspect_header(path: &Path, content: Content) -> Result<ImageFacts> {
    let doing = |e: std::io::Error| Error::io(format_args!("read {}", path.display()), &e);
    let mut file = File::open(path).map_err(doing)?;
    let size = file.metadata().map_err(doing)?.len();
    let mut head = Vec::with_capacity(magic::HEAD);
    file.by_ref().take(magic::HEAD as u64).read_to_end(&mut head).map_err(doing)?;
    if head.is_empty() {
        return Err(refused("the file is empty"));
    }
    let virtual_size = match content {
        Content::Qcow2 => qcow2(&head)?,
        Content::Raw => raw(&head, size)?,
        Content::Kernel if magic::is_kernel(&head) => 0,
        Content::Initrd if magic::is_initrd(&head) => 0,
        Content::Kernel => {
            return Err(refused("the file is not a Linux kernel")
                .hint("give a bzImage (amd64), an Image (arm64) or an ELF file, such as /boot/vmlinuz-*"));
        }
        Content::Initrd => {
            return Err(refused("the file is not an initial RAM disk")
                .hint("give a cpio archive (newc), compressed or not, such as /boot/initrd.img-*"));
        }
    };
    Ok(ImageFacts { content, virtual_size: ByteSize(virtual_size) })
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::Invalid, message)
}

const FLATTEN: &str = "make a file that stands alone: qemu-img convert -O qcow2 OLD.qcow2 NEW.qcow2";

/// Reads a qcow2 header (docs/interop/qcow2.rst of QEMU) and gives the size of the disk.
fn qcow2(head: &[u8]) -> Result<u64> {
    let u32_at = |offset| be::<4>(head, offset).map(u32::from_be_bytes);
    let u64_at = |offset| be::<8>(head, offset).map(u64::from_be_bytes);
    match magic::disk_format(head) {
        Some("qcow2") => {}
        Some(other) => {
            return Err(refused(format!("the file is a {other} image, not qcow2"))
                .hint("convert it: qemu-img convert -O qcow2 OLD NEW.qcow2"));
        }
        None => return Err(not_qcow2(head)),
    }
    let truncated = || refused("the qcow2 header is cut off").hint("copy the file again");
    let version = u32_at(4).ok_or_else(truncated)?;
    if !(2..=3).contains(&version) {
        return Err(refused(format!("the file is qcow version {version}; 2 and 3 can be used")).hint(FLATTEN));
    }
    if u64_at(8).ok_or_else(truncated)? != 0 {
        return Err(refused("the image names a backing file, so it does not stand alone").hint(FLATTEN));
    }
    if u32_at(32).ok_or_else(truncated)? != 0 {
        return Err(refused("the image is encrypted").hint(FLATTEN));
    }
    if version == 3 {
        incompatible_features(u64_at(72).ok_or_else(truncated)?)?;
    }
    match u64_at(24).ok_or_else(truncated)? {
        0 => Err(refused("the image's disk has no bytes")),
        size if size > 1 << 62 => Err(refused("the qcow2 header names an impossible size")),
        size => Ok(size),
    }
}

/// Feature bits that a reader must understand: 0 dirty, 1 corrupt, 2 external data file, 3 compression type, 4 extended
/// L2 entries.
fn incompatible_features(bits: u64) -> Result<()> {
    if bits & 1 << 2 != 0 {
        return Err(
            refused("the image keeps its data in an external file, so it does not stand alone").hint(FLATTEN)
        );
    }
    if bits & 1 << 1 != 0 {
        return Err(
            refused("the image says of itself that it is corrupt").hint("repair it: qemu-img check -r all")
        );
    }
    if bits >> 5 != 0 {
        return Err(refused("the image needs qcow2 features that nobody here knows").hint(FLATTEN));
    }
    Ok(())
}

fn not_qcow2(head: &[u8]) -> Error {
    match magic::compression(head) {
        Some(name) => {
            refused(format!("the file is compressed ({name}), not qcow2")).hint("decompress it first")
        }
        None => refused("the file is not a qcow2 image: its first bytes are not QFI\\xfb")
            .hint("import it with --format raw, if it is the plain bytes of a disk"),
    }
}

fn raw(head: &[u8], size: u64) -> Result<u64> {
    if let Some(name) = magic::disk_format(head) {
        let hint = if name == "qcow2" {
            "import it with --format qcow2".to_owned()
        } else {
            format!("convert it: qemu-img convert -f {name} -O qcow2 OLD NEW.qcow2")
        };
        return Err(refused(format!("the file is a {name} image, not the plain bytes of a disk")).hint(hint));
    }
    if let Some(name) = magic::compression(head) {
        return Err(refused(format!("the file is compressed ({name}), not the plain bytes of a disk"))
            .hint("decompress it first"));
    }
    Ok(size.next_multiple_of(512))
}

fn be<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    format_specific: Option<FormatSpecific>,
}

#[derive(Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: serde_json::Map<String, serde_json::Value>,
}

/// Lets `qemu-img` read the same header: what it cannot open, no VM could start from.
async fn confirm(path: &Path, facts: &ImageFacts) -> Result<()> {
    // An absolute path cannot be taken for a protocol ("json:", "nbd:").
    let path = std::path::absolute(path).map_err(|e| Error::io("make a path absolute", &e))?;
    let mut command = rt::process::command("qemu-img");
    command.args(["info", "--output=json", "-f", "qcow2"]).arg(&path);
    let output = match rt::process::run(command, Duration::from_secs(30)).await {
        Ok(output) => output,
        Err(e) if e.code == Code::NotFound => return Ok(()), // not installed: our own reading stands
        Err(e) if e.code == Code::Timeout => {
            return Err(e.hint("the image may be made to exhaust its reader"));
        }
        Err(e) => return Err(refused("qemu-img cannot read the image").because(e.cause.unwrap_or(e.message))),
    };
    let info: Info = serde_json::from_str(&output.stdout)
        .map_err(|e| Error::internal("qemu-img said something we do not understand").because(e))?;
    let external = info.format_specific.is_some_and(|s| s.data.contains_key("data-file"));
    if info.backing_filename.is_some() || external {
        return Err(refused("the image names another file, so it does not stand alone").hint(FLATTEN));
    }
    if info.virtual_size != facts.virtual_size.bytes() {
        return Err(refused("the image's header and qemu-img disagree about its size"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
