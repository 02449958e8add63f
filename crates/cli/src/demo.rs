//! What `hostler dev` shows once it serves: where it is, and with `--demo` a VM at work.

use crate::{
    DevOptions,
    args::Format,
    printer::{Color, Printer},
};
use api::{Image, ImageSpec, NewObject, Vm, VmSpec, image::ImageFormat, stream::ExecRequest};
use base::{ByteSize, Error, Name, Result, Secret};
use client::{Client, Key, Options, exec::ExecEvent, upload::Upload, wait};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// The name of the guest image, and of the VM made of it.
const IMAGE: &str = "tiny";
const DEMO: &str = "demo";
/// Longest time for the demo to answer: a guest without hardware acceleration on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// What `image.json` beside the guest image says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    arch: String,
    command_line: String,
    kernel: Part,
    initrd: Part,
}

#[derive(Deserialize)]
struct Part {
    file: String,
}

/// Shows a dev cluster that serves at `url`.
pub async fn dev_ready(options: &DevOptions, url: &str, token: &Secret) -> Result<()> {
    let printer = Printer::new(Format::Table, false, Color::Auto, true);
    let mut connection = Options::new(url);
    connection.token = Some(token.clone());
    let client = Client::new(connection)?;
    if let Some(dir) = &options.guest_image_dir {
        import(&printer, &client, dir).await?;
    }
    printer.line(&format!("Hostler serves at {url}"));
    if options.demo {
        show(&printer, &client, options).await?;
    }
    next_steps(&printer, options, image_ready(&client, options).await?);
    Ok(())
}

/// The image that VMs here can start from, where there is one.
async fn image_ready(client: &Client, options: &DevOptions) -> Result<Option<&'static str>> {
    if options.synthetic {
        return Ok(Some("synthetic"));
    }
    let there = client.find::<Image>(&Key::cluster(IMAGE)).await.map_err(|e| e.error)?;
    Ok(there.is_some_and(|i| i.status.ready).then_some(IMAGE))
}

async fn import(printer: &Printer, client: &Client, dir: &Path) -> Result<()> {
    let key = Key::cluster(IMAGE);
    let there = client.find::<Image>(&key).await.map_err(|e| e.error)?;
    if there.as_ref().is_some_and(|i| i.status.ready) {
        return Ok(());
    }
    let path = dir.join("image.json");
    let text = std::fs::read(&path).map_err(|e| {
        Error::io(format_args!("read {}", path.display()), &e).hint("build the guest image: make guest")
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
        Error::invalid(path.display().to_string(), "not the description of a guest image").because(e)
    })?;
    printer.note(&format!("importing the image '{IMAGE}'"));
    if there.is_none() {
        let spec = ImageSpec {
            format: ImageFormat::Kernel,
            arch: manifest.arch,
            os: "linux".into(),
            command_line: manifest.command_line,
            user: "hostler".into(),
            seed: true,
            password: None,
            key: None,
        };
        let new = NewObject { name: name(IMAGE)?, labels: BTreeMap::new(), spec };
        client.create::<Image, _>(None, &new).await.map_err(|e| e.error)?;
    }
    for (part, file) in [("kernel", manifest.kernel.file), ("initrd", manifest.initrd.file)] {
        client.put_image_part(IMAGE, part, Upload::new(dir.join(file))).await.map_err(|e| e.error)?;
    }
    Ok(())
}

async fn show(printer: &Printer, client: &Client, options: &DevOptions) -> Result<()> {
    let key = Key::in_project(api::access::DEFAULT_PROJECT, DEMO);
    if client.find::<Vm>(&key).await.map_err(|e| e.error)?.is_none() {
        let mut spec = VmSpec::new(name(if options.synthetic { "synthetic" } else { IMAGE })?);
        spec.memory = ByteSize::mib(256);
        spec.disk = ByteSize::mib(256);
        let new = NewObject { name: name(DEMO)?, labels: BTreeMap::new(), spec };
        client.create::<Vm, _>(Some(api::access::DEFAULT_PROJECT), &new).await.map_err(|e| e.error)?;
    }
    let mut told = String::new();
    let seen = |vm: &Vm| {
        let now = format!("VM {DEMO}: {} {}", vm.status.phase.as_str(), vm.status.message);
        if now != told {
            printer.note(now.trim_end());
            told = now;
        }
    };
    wait::vm(client, &key, wait::Goal::Ready, PATIENCE, seen).await.map_err(|e| e.error)?;
    if options.synthetic {
        return Ok(()); // it only plays: there is nothing to run in it
    }
    printer.line(&format!("$ hostler vm ssh {DEMO} 'uname -a; uptime'"));
    run(printer, client, &key, "uname -a; uptime").await
}

async fn run(printer: &Printer, client: &Client, key: &Key, command: &str) -> Result<()> {
    let request = ExecRequest { command: Some(command.into()), wait: Some(30), ..ExecRequest::default() };
    let (mut sender, mut receiver) = client.vm_exec(key, &request).await.map_err(|e| e.error)?;
    sender.eof().await.map_err(|e| e.error)?;
    loop {
        match receiver.next().await.map_err(|e| e.error)? {
            ExecEvent::Stdout(bytes) => printer.data(&bytes),
            ExecEvent::Stderr(bytes) => printer.raw_stderr(&bytes),
            ExecEvent::Exit(exit) if exit.shell_code() == 0 => return Ok(()),
            ExecEvent::Exit(exit) => {
                return Err(Error::internal(format!("'{command}' ended with {}", exit.shell_code())));
            }
        }
    }
}

fn next_steps(printer: &Printer, options: &DevOptions, image: Option<&str>) {
    let program = std::env::current_exe().map_or_else(|_| "hostler".into(), |p| p.display().to_string());
    printer.line("\nIn another shell:");
    if options.demo && !options.synthetic {
        printer.line(&format!("  {program} vm ssh {DEMO}"));
        printer.line(&format!("  {program} vm exec {DEMO} -- cat /proc/cpuinfo"));
        printer.line(&format!("  {program} vm cp /etc/hostname {DEMO}:hello"));
        printer.line(&format!("  {program} vm logs {DEMO}"));
    }
    match image {
        Some(image) => printer.line(&format!("  {program} vm create another --image {image} --wait")),
        None => printer.line(&format!("  {program} image import --help")),
    }
    printer.line(&format!("  {program} vm list"));
    printer.line(&format!("  {program} worker list"));
    printer.line("\nCtrl-C ends the cluster and its VMs.");
}

fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|e| Error::internal(e.to_string()))
}
