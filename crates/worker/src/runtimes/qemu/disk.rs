//! Disks of machines, made by `qemu-img`.

use super::argv::has_disk;
use crate::{
    runtimes::{DiskFormat, ImageFiles, Machine},
    shim::Dir,
};
use base::{ByteSize, Code, Error, Result};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

/// `qemu-img` writes a few hundred KiB here; more time than this means a sick disk.
const LIMIT: Duration = Duration::from_mins(1);

/// Makes the disk ready for a start and returns its size: a fresh one where there is none or the machine is ephemeral,
/// the old one otherwise, grown to the size that is asked for now. `before` is its size at the last start.
///
/// # Errors
/// [`Code::Invalid`] when the size asked for is below that of the image or of the existing disk.
pub async fn prepare(
    qemu_img: &Path,
    dir: &Dir,
    machine: &Machine,
    before: Option<ByteSize>,
) -> Result<ByteSize> {
    if !has_disk(machine) {
        return Ok(ByteSize(0));
    }
    let disk = dir.file(Dir::DISK);
    if machine.ephemeral {
        remove(&disk)?;
    }
    if disk.exists() {
        return grow(qemu_img, &disk, machine.disk, before.unwrap_or_default()).await;
    }
    let (backing, size) = match &machine.image {
        ImageFiles::Disk { path, format } => {
            (Some((path, *format)), overlay_size(path, *format, machine.disk)?)
        }
        ImageFiles::Kernel { .. } | ImageFiles::Synthetic => (None, machine.disk),
    };
    // Made beside and renamed, so that a crash does not leave half a disk that looks like a whole one.
    let fresh = dir.file("disk.qcow2.new");
    remove(&fresh)?;
    create(qemu_img, &fresh, backing, size).await?;
    fs::rename(&fresh, &disk).map_err(|e| Error::io(format_args!("rename {}", fresh.display()), &e))?;
    Ok(size)
}

/// An overlay of an image, or a blank disk.
async fn create(
    qemu_img: &Path,
    disk: &Path,
    backing: Option<(&PathBuf, DiskFormat)>,
    size: ByteSize,
) -> Result<()> {
    let mut command = rt::process::command(qemu_img);
    command.args(["create", "-q", "-f", "qcow2"]);
    if let Some((path, format)) = backing {
        command.args([OsStr::new("-F"), format.as_str().as_ref(), "-b".as_ref(), path.as_os_str()]);
    }
    command.arg(disk).arg(size.bytes().to_string());
    rt::process::run(command, LIMIT).await.map(drop)
}

async fn grow(qemu_img: &Path, disk: &Path, asked: ByteSize, before: ByteSize) -> Result<ByteSize> {
    if asked.bytes() == 0 || asked == before {
        return Ok(before);
    }
    let now = virtual_size(disk, DiskFormat::Qcow2)?;
    if asked < now {
        return Err(too_small(asked, now, "the disk that the VM has"));
    }
    let mut command = rt::process::command(qemu_img);
    command.args(["resize", "-q", "-f", "qcow2"]).arg(disk).arg(asked.bytes().to_string());
    rt::process::run(command, LIMIT).await?;
    Ok(asked)
}

/// The size of an overlay: what is asked, or that of the image where nothing is.
fn overlay_size(image: &Path, format: DiskFormat, asked: ByteSize) -> Result<ByteSize> {
    let own = virtual_size(image, format)?;
    match asked.bytes() {
        0 => Ok(own),
        _ if asked < own => Err(too_small(asked, own, "the image")),
        _ => Ok(asked),
    }
}

fn too_small(asked: ByteSize, has: ByteSize, what: &str) -> Error {
    Error::new(Code::Invalid, format!("a disk of {asked} is smaller than {what} ({has})"))
        .at("/spec/disk")
        .hint(format!("ask for at least {} bytes", has.bytes()))
}

/// The size that a guest sees. (qcow2 header: docs/interop/qcow2 in QEMU's manual; bytes 24 to 31.)
fn virtual_size(path: &Path, format: DiskFormat) -> Result<ByteSize> {
    let read = || -> io::Result<u64> {
        let mut file = File::open(path)?;
        match format {
            DiskFormat::Raw => Ok(file.metadata()?.len()),
            DiskFormat::Qcow2 => {
                let mut header = [0; 32];
                file.read_exact(&mut header)?;
                let (magic, size) = (&header[..4], &header[24..]);
                if magic != b"QFI\xfb" {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a qcow2 image"));
                }
                Ok(size.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
            }
        }
    };
    read().map(ByteSize).map_err(|e| Error::io(format_args!("read the disk {}", path.display()), &e))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}
