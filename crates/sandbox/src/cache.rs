//! Machine code on disk: compiled once a machine, mapped afterwards.
//!
//! A file's name carries the key (image, engine, settings) and the checksum of its content: one rename makes both true at once, and the
//! checksum is compared before the engine is asked to trust the bytes as code.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Error;
use crate::image::{Image, hex};

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

/// The image as machine code: from the cache, or compiled and put there.
pub(crate) fn load(engine: &Engine, image: Image) -> Result<Component, Error> {
    let folder = folder()?;
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Cache { path, source }
    };
    fs::create_dir_all(&folder).map_err(fault(&folder))?;
    let prefix = format!("guest-{}-", key(engine, image));
    if let Some(component) = find(engine, &folder, &prefix)? {
        return Ok(component);
    }
    // Held until the end of the function: of several processes one compiles, and the others find what it left.
    let lock_file = folder.join("compiling.lock");
    let lock = File::create(&lock_file).map_err(fault(&lock_file))?;
    lock.lock().map_err(fault(&lock_file))?;
    if let Some(component) = find(engine, &folder, &prefix)? {
        return Ok(component);
    }
    remove_all(&folder, &prefix);
    let code = compile(engine, image, &folder)?;
    let path = folder.join(format!("{prefix}{}.bin", hex(&Sha256::digest(&code))));
    let partial = folder.join(format!("{prefix}{}.partial", std::process::id()));
    fs::write(&partial, &code).and_then(|()| fs::rename(&partial, &path)).map_err(|source| {
        let _ = fs::remove_file(&partial);
        Error::Cache { path: path.clone(), source }
    })?;
    map(engine, &path)
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

fn key(engine: &Engine, image: Image) -> String {
    let mut fingerprint = Fingerprint(Sha256::new());
    fingerprint.write(image.digest().as_bytes());
    engine.precompile_compatibility_hash().hash(&mut fingerprint);
    hex(&fingerprint.0.finalize())[..32].to_owned()
}

/// The cached code whose content is what its name says. A damaged file is as good as none.
fn find(engine: &Engine, folder: &Path, prefix: &str) -> Result<Option<Component>, Error> {
    for path in files(folder, prefix) {
        let Some(checksum) = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.rsplit('-').next()) else { continue };
        let Ok(code) = fs::read(&path) else { continue };
        if hex(&Sha256::digest(&code)) == checksum {
            return map(engine, &path).map(Some);
        }
    }
    Ok(None)
}

fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix) && name.ends_with(".bin"))
    };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(named).collect()
}

/// Called with the lock held, after nothing usable was found.
fn remove_all(folder: &Path, prefix: &str) {
    for path in files(folder, prefix) {
        // Where it cannot be removed, writing fails as well and says why.
        let _ = fs::remove_file(path);
    }
}

#[allow(unsafe_code)]
fn map(engine: &Engine, path: &Path) -> Result<Component, Error> {
    // SAFETY: the content was written by `Engine::precompile_component` of this version, settings and target: the name's key says which,
    // its checksum that nothing has changed since. Who can replace a file of the user's cache can replace this library as well.
    unsafe { Component::deserialize_file(engine, path) }.map_err(Error::engine("mapping machine code"))
}

fn compile(engine: &Engine, image: Image, folder: &Path) -> Result<Vec<u8>, Error> {
    let which = match image {
        Image::First => "",
        Image::Second => " again, for the determinism check",
    };
    eprintln!("tina-azr: compiling the sandbox's interpreter{which}; this is done once and takes some 20 seconds ...");
    let start = Instant::now();
    let code = engine.precompile_component(&image.unpack()?).map_err(Error::engine("compiling the interpreter"))?;
    eprintln!("tina-azr: compiled in {:.0} s, kept in {}", start.elapsed().as_secs_f64(), folder.display());
    Ok(code)
}

/// Bytes of machine code in the cache, for all images and versions.
pub(crate) fn size() -> Result<u64, Error> {
    let sizes = files(&folder()?, "guest-").into_iter().map(|path| fs::metadata(path).map(|data| data.len()));
    Ok(sizes.sum::<io::Result<u64>>().unwrap_or(0))
}
