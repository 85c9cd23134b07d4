//! The interpreter on disk, its machine code and its memories: made once a machine, mapped afterwards.
//!
//! A file's name carries the key (image, engine, settings) and the checksum of its content: one rename makes both true at once, and the
//! checksum is compared before the engine is asked to trust the bytes as code. It finds damage, not malice: each start waits for it.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};
use xxhash_rust::xxh3::xxh3_128;

use crate::image::{Image, hex};
use crate::{Error, making, memory};

/// What is made of the same images, and how, is said here.
const RECIPE: [&str; 7] = [
    include_str!("making.rs"),
    include_str!("flatten/mod.rs"),
    include_str!("flatten/graph.rs"),
    include_str!("flatten/reach.rs"),
    include_str!("flatten/fuel.rs"),
    include_str!("flatten/emit.rs"),
    include_str!("running/instance.rs"),
];

/// An interpreter takes some 130 MB here, and each build of the library has its own.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Takes whatever the engine hashes to say which machine code it can run.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// What of the interpreter is asked for.
#[derive(Clone, Copy)]
enum Part {
    Code,
    Memory(Image),
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Memory(Image::First) => "memory-1",
            Self::Memory(Image::Second) => "memory-2",
        }
    }
}

/// The interpreter's machine code.
pub(crate) fn code(engine: &Engine) -> Result<Module, Error> {
    let path = load(engine, Part::Code)?;
    map(engine, &path)
}

/// What an image's memory holds when a program starts.
pub(crate) fn memory(engine: &Engine, image: Image) -> Result<memory::Image, Error> {
    let path = load(engine, Part::Memory(image))?;
    File::open(&path).and_then(memory::Image::open).map_err(|source| Error::Cache { path, source })
}

/// The file of a part: from the cache, or made and put there, with all others.
fn load(engine: &Engine, part: Part) -> Result<PathBuf, Error> {
    let folder = folder()?;
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Cache { path, source }
    };
    fs::create_dir_all(&folder).map_err(fault(&folder))?;
    let key = key(engine);
    if let Some(path) = find(&folder, &key, part) {
        return Ok(path);
    }
    // Held until the end of the function: of several processes one makes it, and the others find what it left.
    let lock_file = folder.join("making.lock");
    let lock = File::create(&lock_file).map_err(fault(&lock_file))?;
    lock.lock().map_err(fault(&lock_file))?;
    if let Some(path) = find(&folder, &key, part) {
        return Ok(path);
    }
    eprintln!("tina-azr: preparing the sandbox's interpreter for this machine; this is done once and takes some 20 seconds ...");
    let start = Instant::now();
    let scratch = folder.join(format!("{key}-{}.partial", std::process::id()));
    let partial = Partial(&scratch);
    let made = making::make(engine, || {
        // A file without a name: what starts from it keeps it open.
        let _ = fs::remove_file(&scratch);
        File::options().read(true).write(true).create_new(true).open(&scratch).map_err(fault(&scratch))
    })?;
    for (part, content) in
        [(Part::Code, &made.code), (Part::Memory(Image::First), &made.memories[0]), (Part::Memory(Image::Second), &made.memories[1])]
    {
        // Damaged ones: nothing usable was found.
        for path in files(&folder, &key, part) {
            let _ = fs::remove_file(path);
        }
        let path = folder.join(format!("{key}-{}-{}.bin", part.name(), checksum(content)));
        fs::write(&scratch, content).and_then(|()| fs::rename(&scratch, &path)).map_err(fault(&path))?;
    }
    drop(partial);
    remove_old(&folder, &key);
    eprintln!("tina-azr: done in {:.0} s, kept in {}", start.elapsed().as_secs_f64(), folder.display());
    find(&folder, &key, part).ok_or_else(|| fault(&folder)(io::Error::other("what was just written there cannot be read")))
}

/// What other builds and settings have left here long ago. One that is still in use makes it again, in some ten seconds.
fn remove_old(folder: &Path, key: &str) {
    for path in binaries(folder) {
        let other = path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with(key));
        let age = fs::metadata(&path).and_then(|data| data.modified()).ok().and_then(|made| made.elapsed().ok());
        if other && age.is_some_and(|age| age > OLD) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Half of a file is removed, however its making ends.
struct Partial<'a>(&'a Path);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// `TINA_AZR_CACHE`, else the user's cache folder.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = named("TINA_AZR_CACHE") {
        return Ok(folder);
    }
    let base = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("tina-azr")).ok_or(Error::NoCacheFolder)
}

/// Of the images, and of the engine with its settings.
fn key(engine: &Engine) -> String {
    let mut fingerprint = Fingerprint(Sha256::new());
    for image in [Image::First, Image::Second] {
        fingerprint.write(image.digest().as_bytes());
    }
    RECIPE.iter().for_each(|source| fingerprint.write(source.as_bytes()));
    engine.precompile_compatibility_hash().hash(&mut fingerprint);
    hex(&fingerprint.0.finalize())[..32].to_owned()
}

/// The cached file whose content is what its name says. A damaged one is as good as none.
fn find(folder: &Path, key: &str, part: Part) -> Option<PathBuf> {
    files(folder, key, part).into_iter().find(|path| {
        let named = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.rsplit('-').next());
        let content = || File::open(path).and_then(memory::Image::open);
        named.is_some_and(|named| content().is_ok_and(|content| checksum(content.bytes()) == named))
    })
}

fn checksum(content: &[u8]) -> String {
    hex(&xxh3_128(content).to_be_bytes())
}

fn files(folder: &Path, key: &str, part: Part) -> Vec<PathBuf> {
    let prefix = format!("{key}-{}-", part.name());
    binaries(folder).into_iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))).collect()
}

fn binaries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin")).collect()
}

#[allow(unsafe_code, reason = "machine code is trusted where it was made")]
fn map(engine: &Engine, path: &Path) -> Result<Module, Error> {
    // SAFETY: the content was written by `Engine::precompile_module` of this version, settings and target: the name's key says which,
    // its checksum that nothing has changed since. Who can replace a file of the user's cache can replace this library as well.
    unsafe { Module::deserialize_file(engine, path) }.map_err(Error::engine("mapping machine code"))
}

/// Bytes in the cache, for all versions.
pub(crate) fn size() -> Result<u64, Error> {
    let sizes = binaries(&folder()?).into_iter().map(|path| fs::metadata(path).map(|data| data.len()));
    Ok(sizes.sum::<io::Result<u64>>().unwrap_or(0))
}
