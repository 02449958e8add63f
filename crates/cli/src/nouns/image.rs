//! `hostler image`.

use super::{
    objects::{self, ListArgs},
    project::keys,
};
use crate::{
    Failure, Result,
    app::App,
    complete, parse,
    progress::Progress,
    rows::{Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{Image, ImageSpec, NewObject, image::ImageFormat};
use base::{Error, Name, Secret};
use clap::{Args, Subcommand, ValueEnum};
use client::{Client, Key, upload::Upload};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes of a disk's sector.
const SECTOR: usize = 512;

/// Images: what VMs start from.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an image from a disk, or from a kernel and an initial RAM disk
    Import(Box<Import>),
    /// List images
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show images
    Get {
        /// Their names
        #[arg(required = true, value_parser = parse::name, add = complete::images())]
        names: Vec<Name>,
    },
    /// Remove images that no VM uses
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::name, add = complete::images())]
        names: Vec<Name>,
    },
}

/// `hostler image import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  hostler image import debian-13 debian-13-generic-amd64.qcow2\n  \
                        hostler image import tiny --kernel vmlinuz --initrd initrd.img --command-line 'console=ttyS0'")]
pub struct Import {
    /// Its name
    #[arg(value_parser = parse::name)]
    pub name: Name,
    /// The disk: qcow2 or raw
    #[arg(required_unless_present = "kernel", conflicts_with = "kernel")]
    pub disk: Option<PathBuf>,
    /// A kernel to start directly
    #[arg(long, value_name = "FILE", requires = "initrd")]
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "", hide_default_value = true)]
    pub command_line: String,
    /// What the disk is [default: what its first bytes say]
    #[arg(long, value_name = "qcow2|raw", hide_possible_values = true)]
    pub format: Option<DiskFormat>,
    /// amd64 or arm64 [default: this host's]
    #[arg(long)]
    pub arch: Option<String>,
    /// linux or macos
    #[arg(long, default_value = "linux")]
    pub os: String,
    /// The name one logs in with
    #[arg(long, default_value = "hostler")]
    pub user: String,
    /// The guest reads no seed (NoCloud); it needs --password-file or --key-file then
    #[arg(long, requires = "login")]
    pub no_seed: bool,
    /// A file with the password of its user
    #[arg(long, value_name = "FILE", group = "login")]
    pub password_file: Option<PathBuf>,
    /// A file with a private key of its user, without a passphrase
    #[arg(long, value_name = "FILE", group = "login")]
    pub key_file: Option<PathBuf>,
    /// What the disk's content must be: sha256: and 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<String>,
    /// A label; repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub labels: Vec<(String, String)>,
}

/// Formats of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiskFormat {
    /// QEMU's format
    Qcow2,
    /// Byte for byte
    Raw,
}

impl Row for Image {
    const COLUMNS: &'static [Column] = &[
        col("NAME"),
        col("FORMAT"),
        col("ARCH"),
        wide("OS"),
        col("SIZE"),
        col("DISK"),
        col("READY"),
        col("USER"),
        wide("DIGEST"),
        wide("UID"),
        col("AGE"),
    ];
    fn cells(&self) -> Vec<String> {
        let (m, spec, status) = (&self.metadata, &self.spec, &self.status);
        let size = base::ByteSize(status.parts.iter().map(|p| p.size.bytes()).sum());
        let digests: Vec<&str> = status.parts.iter().map(|p| p.digest.as_str()).collect();
        vec![
            m.name.to_string(),
            format!("{:?}", spec.format).to_lowercase(),
            spec.arch.clone(),
            spec.os.clone(),
            size.to_string(),
            if status.virtual_size.bytes() == 0 { "-".into() } else { status.virtual_size.to_string() },
            status.ready.to_string(),
            spec.user.clone(),
            or_dash(digests.join(",")),
            m.uid.to_string(),
            when::age(m.created_at, rt::clock::wall()),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Import(args) => import(app, *args).await,
            Command::List(args) => objects::list::<Image>(app, None, &args).await,
            Command::Get { names } => objects::get::<Image>(app, &keys(&names)).await,
            Command::Delete { names } => objects::delete::<Image>(app, &keys(&names)).await,
        }
    }
}

async fn import(app: &App, args: Import) -> Result {
    let client = app.client()?;
    let parts = parts(&args)?;
    let new = NewObject {
        name: args.name.clone(),
        labels: args.labels.iter().cloned().collect(),
        spec: spec(&args, &parts)?,
    };
    let mut image = declare(&client, &new).await?;
    for (part, path) in parts {
        image = match upload(app, &client, &args, part, path).await {
            Err(e) if e.code() == base::Code::Invalid => {
                // This file will never be right. Its refusal is the news, whatever becomes of the rest.
                let _ = client.delete::<Image>(&Key::cluster(args.name.as_str())).await;
                return Err(e);
            }
            other => other?,
        };
    }
    objects::changed(app, &image, "imported")
}

/// Declares the image; one that was declared alike and never got its parts is continued.
async fn declare(client: &Client, new: &NewObject<ImageSpec>) -> Result<Image> {
    let taken = match client.create::<Image, _>(None, new).await {
        Err(e) if e.code() == base::Code::Conflict => e,
        other => return Ok(other?),
    };
    let there = client.find::<Image>(&Key::cluster(new.name.as_str())).await?;
    let same =
        |i: &Image| !i.status.ready && ImageSpec { password: None, key: None, ..new.spec.clone() } == i.spec;
    there.filter(same).ok_or_else(|| Failure::from(taken))
}

async fn upload(app: &App, client: &Client, args: &Import, part: &str, path: &Path) -> Result<Image> {
    let size = fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    let mut progress = Progress::bytes(app, size);
    progress.say(&format!("{} ({})", path.display(), base::ByteSize(size)));
    let digest = args.digest.clone().filter(|_| part == "disk");
    let upload = Upload { path: path.to_owned(), digest, progress: Some(progress.counter()) };
    Ok(client.put_image_part(args.name.as_str(), part, upload).await?)
}

/// The files and which part of the image each is.
fn parts(args: &Import) -> Result<Vec<(&'static str, &Path)>> {
    let parts: Vec<(&'static str, &Path)> = match (&args.disk, &args.kernel, &args.initrd) {
        (Some(disk), ..) => vec![("disk", disk)],
        (None, Some(kernel), Some(initrd)) => vec![("kernel", kernel), ("initrd", initrd)],
        _ => return Err(Failure::usage("DISK", "give a disk, or --kernel and --initrd")),
    };
    for (_, path) in &parts {
        fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    }
    Ok(parts)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("read {}", path.display()), error)
}

fn spec(args: &Import, parts: &[(&str, &Path)]) -> Result<ImageSpec> {
    let format = match (args.kernel.is_some(), args.format) {
        (true, _) => ImageFormat::Kernel,
        (_, Some(DiskFormat::Qcow2)) => ImageFormat::Qcow2,
        (_, Some(DiskFormat::Raw)) => ImageFormat::Raw,
        (_, None) => sniff(parts[0].1)?,
    };
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|e| unreadable(path, &e));
    let password = args.password_file.as_ref().map(read).transpose()?;
    let key = args.key_file.as_ref().map(read).transpose()?;
    Ok(ImageSpec {
        format,
        arch: args.arch.clone().unwrap_or_else(|| rt::host::arch().to_owned()),
        os: args.os.clone(),
        command_line: args.command_line.clone(),
        user: args.user.clone(),
        seed: !args.no_seed,
        password: password.map(|text| Secret::new(text.trim_end_matches(['\r', '\n']))),
        key: key.map(Secret::new),
    })
}

/// `QFI\xfb` begins a qcow2 file (QEMU's docs/interop/qcow2.txt). The first sector of a disk that can be booted ends with
/// `55 AA`, also of one with a GPT (UEFI specification, 5.2). Anything else may be a mistake.
fn sniff(path: &Path) -> Result<ImageFormat> {
    let mut head = Vec::with_capacity(SECTOR);
    let file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    file.take(SECTOR as u64).read_to_end(&mut head).map_err(|e| unreadable(path, &e))?;
    let packed = match &head[..] {
        [b'Q', b'F', b'I', 0xfb, ..] => return Ok(ImageFormat::Qcow2),
        [0x1f, 0x8b, ..] => "gunzip",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "unxz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "unzstd",
        [.., 0x55, 0xaa] if head.len() == SECTOR => return Ok(ImageFormat::Raw),
        _ => {
            let message = format!("{} is neither qcow2 nor a disk that can be booted", path.display());
            return Err(Error::invalid("DISK", message)
                .hint("give --format raw, if it is the plain bytes of a disk")
                .into());
        }
    };
    Err(Error::invalid("DISK", format!("{} is compressed", path.display()))
        .hint(format!("unpack it first: {packed} {}", path.display()))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        assert_eq!(sniff(&file("a", b"QFI\xfb\0\0\0\x03")).unwrap(), ImageFormat::Qcow2);
        let mut sector = [0; SECTOR];
        let error = sniff(&file("b", &sector)).unwrap_err();
        assert!(error.error.error.hint.unwrap().starts_with("give --format raw"));
        sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(sniff(&file("b", &sector)).unwrap(), ImageFormat::Raw);
        sniff(&file("d", b"a text\x55\xaa")).unwrap_err();
        let error = sniff(&file("c", b"\xfd7zXZ\0")).unwrap_err();
        assert!(error.error.error.hint.unwrap().starts_with("unpack it first: unxz"));
    }
}
