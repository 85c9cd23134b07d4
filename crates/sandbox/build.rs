//! Builds the two guest images with `componentize-py` and packs them for `include_bytes!`.
//!
//! Two images, because a difference between them is how nondeterminism shows: each draws its own hash seed, and `padding.py` moves what is
//! allocated. Several are built, and two that differ enough are taken.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes by which `padding.py` moves allocations: more in each image that is built. Not a multiple of a page: low bits differ as well.
const PADDING: usize = (1 << 20) + 16;
const MORE_PADDING: usize = (64 << 10) + 4096 + 16;
/// A hash seed is drawn anew by each build. One pair in 32 is as different as can be, so eight images do on average.
/// They are built while the engine is compiled.
const MOST_IMAGES: usize = 32;
/// The lowest bits of a hash are the place in a small set. Where two seeds differ so that all three of them are turned over, whatever the
/// text, every set of up to four texts has another order.
const ORDER_BITS: u32 = 3;
const COMPONENTIZE_VERSION: &str = "0.25.1";
/// What `app.py` leaves in the image for us.
const MARK: &[u8] = b"TINA-IMAGE ";

fn main() -> ExitCode {
    match build_images() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build_images() -> Result<()> {
    println!("cargo:rerun-if-changed=guest");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TINA_COMPONENTIZE_PY");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let guest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?).join("guest");
    let tool = componentize_py()?;
    let mut images: Vec<Image> = Vec::new();
    let mut best = (0, None);
    while images.len() < MOST_IMAGES && best.0 < ORDER_BITS {
        let image = build(&tool, &guest, &out, images.len())?;
        for (index, other) in images.iter().enumerate() {
            let difference = image.mark.difference(&other.mark);
            if difference > best.0 {
                best = (difference, Some((index, images.len())));
            }
        }
        images.push(image);
    }
    let Some((first, second)) = best.1 else {
        return Err(format!("no two guest images differ: {:?}", images.iter().map(|image| &image.mark).collect::<Vec<_>>()).into());
    };
    println!("cargo:rustc-env=TINA_COMPONENTIZE_PY_VERSION={COMPONENTIZE_VERSION}");
    println!("cargo:rustc-env=TINA_CPYTHON_VERSION={}", images[first].mark.python);
    pack([&images[first].bytes, &images[second].bytes], &out)
}

struct Image {
    bytes: Vec<u8>,
    mark: Mark,
}

/// What `app.py` wrote into the image.
#[derive(Debug)]
struct Mark {
    /// Of some texts, the lowest three bits of their hashes.
    hashes: Vec<u32>,
    addresses: Vec<u32>,
    /// CPython's version.
    python: String,
}

impl Mark {
    /// `digits address,address,address version`: an octal digit a hash, and hexadecimal numbers.
    fn read(text: &str) -> Option<Self> {
        let [hashes, addresses, python] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            hashes: hashes.chars().map(|digit| digit.to_digit(8)).collect::<Option<_>>()?,
            addresses: addresses.split(',').map(|number| u32::from_str_radix(number, 16).ok()).collect::<Option<_>>()?,
            python: python.to_owned(),
        })
    }

    /// How much of the order of sets two images do not share: bits of the text that shares most. Nothing where an address is the same.
    fn difference(&self, other: &Self) -> u32 {
        if self.addresses.iter().zip(&other.addresses).any(|(one, two)| one == two) {
            return 0;
        }
        self.hashes.iter().zip(&other.hashes).map(|(one, two)| (one ^ two).count_ones()).min().unwrap_or(0)
    }
}

/// The tool named by TINA_COMPONENTIZE_PY, or the first on PATH; its version must be the one that the guest is written for.
fn componentize_py() -> Result<OsString> {
    let tool = env::var_os("TINA_COMPONENTIZE_PY").unwrap_or_else(|| "componentize-py".into());
    let found = Command::new(&tool).arg("--version").stderr(Stdio::null()).output();
    let version = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).map_err(|error| {
        format!(
            "cannot run {} ({error}): it builds the sandbox's guest. Install it with `pip install componentize-py=={COMPONENTIZE_VERSION}` \
             and put it on PATH, or name it with TINA_COMPONENTIZE_PY=/path/to/componentize-py",
            tool.display()
        )
    })?;
    if !version.ends_with(COMPONENTIZE_VERSION) {
        return Err(format!("{} is version {version:?}; the guest needs componentize-py=={COMPONENTIZE_VERSION}", tool.display()).into());
    }
    Ok(tool)
}

fn build(tool: &OsString, guest: &Path, out: &Path, index: usize) -> Result<Image> {
    let folder = out.join(format!("guest-{index}"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    // componentize-py adds the site-packages of the environment it finds: this one is empty, so that nothing of the host gets in.
    fs::create_dir_all(folder.join("nothing/lib/site-packages"))?;
    for entry in fs::read_dir(guest)? {
        let path = entry?.path();
        let name = path.file_name().ok_or("a guest file has no name")?.to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".in") {
            let text = fs::read_to_string(&path)?.replace("@PADDING@", &(PADDING + index * MORE_PADDING).to_string());
            fs::write(folder.join(name), text)?;
        } else if path.is_file() {
            fs::copy(&path, folder.join(name))?;
        }
    }
    let image = folder.join("guest.wasm");
    let output = Command::new(tool)
        .current_dir(&folder)
        .args(["-d", "guest.wit", "-w", "guest", "componentize", "app", "--stub-wasi", "-p", ".", "-o"])
        .arg(&image)
        .env("VIRTUAL_ENV", folder.join("nothing"))
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        return Err(format!("componentize-py could not build the guest:\n{said}").into());
    }
    let bytes = fs::read(image)?;
    let mark = mark(&bytes)?;
    fs::remove_dir_all(&folder)?;
    Ok(Image { bytes, mark })
}

fn mark(image: &[u8]) -> Result<Mark> {
    // The constant's own parts are in the image as well, so the text after the mark decides.
    for start in image.windows(MARK.len() + 5).enumerate().filter(|(_, window)| window.starts_with(MARK)).map(|(start, _)| start) {
        let rest = &image[start + MARK.len()..];
        if let Some(end) = rest.iter().take(100).position(|&byte| byte == b';')
            && let Ok(text) = std::str::from_utf8(&rest[..end])
            && let Some(mark) = Mark::read(text)
        {
            return Ok(mark);
        }
    }
    Err("the guest image lacks its mark (app.py: mark)".into())
}

fn pack(images: [&[u8]; 2], out: &Path) -> Result<()> {
    // One stream with a window over both: they are nearly the same, so the second costs little.
    let mut packer = zstd::Encoder::new(fs::File::create(out.join("images.zst"))?, 12)?;
    packer.long_distance_matching(true)?;
    packer.window_log(26)?;
    for image in images {
        packer.write_all(image)?;
    }
    packer.finish()?;
    let entries: String = images
        .iter()
        .map(|image| {
            let digest: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("Packed {{ bytes: {}, digest: \"{digest}\" }},", image.len())
        })
        .collect();
    fs::write(out.join("images.rs"), format!("[{entries}]"))?;
    Ok(())
}
