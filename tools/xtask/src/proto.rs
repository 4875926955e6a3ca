//! What is generated from `proto/`: Rust (`src/proto/generated/`), PHP (`workers/php/generated/`) and Python
//! (`workers/python/src/causeway/_proto/`), so that nobody needs a protocol compiler to build or to install. PHP and Python come from
//! `protoc`, Debian's package `protobuf-compiler`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use prost::Message as _;

use super::{Output, deliver, root};

/// The definitions, as their folder under `proto/` names them.
const FILES: [&str; 3] =
    ["centrifugal/centrifugo/proxy.proto", "centrifugal/centrifugo/api.proto", "causeway/rpc.proto"];

/// Generates all of it.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = root()?;
    let scratch = root.join("target/xtask-proto");
    let _ = fs::remove_dir_all(&scratch);
    let mut output = Output::new();
    rust(root, &scratch.join("rust"), &mut output)?;
    php_and_python(root, &scratch, &mut output)?;
    let folders = ["src/proto/generated", "workers/php/generated", "workers/python/src/causeway/_proto"];
    let orphans: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| files(&root.join(folder)))
        .map(|path| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path))
        .filter(|path| !output.contains_key(path) && !is_cache(path))
        .collect();
    deliver(root, &output, &orphans, check, "proto")
}

/// What Python leaves beside the generated files.
fn is_cache(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "__pycache__")
}

fn rust(root: &Path, scratch: &Path, output: &mut Output) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let descriptors = protox::compile(FILES, [root.join("proto")]).context("proto/ does not compile")?;
    // Two sets: the bridge reads its own messages all the time, and those of Centrifugo, which take megabytes, on demand.
    for (name, own) in [("descriptor.bin", false), ("rpc.bin", true)] {
        let mut plain = descriptors.clone();
        plain.file.retain(|file| file.package().starts_with("causeway") == own);
        // Comments and positions are of no use at run time.
        plain.file.iter_mut().for_each(|file| file.source_code_info = None);
        output.insert(Path::new("src/proto/generated").join(name), plain.encode_to_vec());
    }
    // The service has a method of the name `Connect`, which the generated constructors would clash with.
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(scratch)
        .compile_fds(descriptors)?;
    for (generated, name) in [
        ("centrifugal.centrifugo.proxy.rs", "proxy.rs"),
        ("centrifugal.centrifugo.api.rs", "api.rs"),
        ("causeway.rpc.rs", "rpc.rs"),
    ] {
        output.insert(Path::new("src/proto/generated").join(name), fs::read(scratch.join(generated))?);
    }
    Ok(())
}

fn php_and_python(root: &Path, scratch: &Path, output: &mut Output) -> Result<()> {
    let (php, python, source) = (scratch.join("php"), scratch.join("python"), scratch.join("source"));
    for folder in [&php, &python, &source.join("causeway")] {
        fs::create_dir_all(folder)?;
    }
    // A PHP or Python process has one registry of messages. Under names of their own these do not clash with other packages for
    // Centrifugo that an application may load; the names are not on the wire.
    let mut names = Vec::new();
    for file in FILES {
        let name = Path::new("causeway").join(Path::new(file).file_name().context("a file has a name")?);
        let text = fs::read_to_string(root.join("proto").join(file))?;
        fs::write(source.join(&name), text.replace("package centrifugal.", "package causeway."))?;
        names.push(name);
    }
    let status = Command::new("protoc")
        .current_dir(&source)
        .arg("-I.")
        .arg(format!("--php_out={}", php.display()))
        .arg(format!("--python_out={}", python.display()))
        .arg(format!("--pyi_out={}", python.display()))
        .args(names)
        .status()
        .context("cannot run protoc (Debian: apt-get install protobuf-compiler)")?;
    if !status.success() {
        bail!("protoc failed: {status}");
    }
    for path in files(&php) {
        let name = path.strip_prefix(php.join("Causeway/Proto"))?;
        output.insert(Path::new("workers/php/generated").join(name), fs::read(&path)?);
    }
    let package = Path::new("workers/python/src/causeway/_proto");
    for path in files(&python) {
        output.insert(package.join(path.file_name().context("a file has a name")?), fs::read(&path)?);
    }
    output.insert(
        package.join("__init__.py"),
        b"\"\"\"Messages of Centrifugo's two services and of the RPC methods, generated from proto/.\"\"\"\n"
            .to_vec(),
    );
    Ok(())
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
