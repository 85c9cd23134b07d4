//! Builds the two guest images with `componentize-py` and packs them for `include_bytes!`.
//!
//! Two images, because a difference between them is how nondeterminism shows: each draws its own hash seed, and `padding.py` moves what is
//! allocated. Both differences are asserted here.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes by which `padding.py` moves allocations, for each image. Not multiples of a page: low bits of an address differ as well.
const PADDINGS: [u32; 2] = [1_048_576 + 16, 3_145_728 + 4_112];
/// A hash seed is drawn anew by each build, so two images that agree are rebuilt; twice the same by chance does not happen.
const ATTEMPTS: u32 = 3;
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
    for attempt in 1.. {
        let images = [build(&tool, &guest, &out, 0)?, build(&tool, &guest, &out, 1)?];
        let marks = [mark(&images[0])?, mark(&images[1])?];
        // The hash of a text, then some addresses.
        let numbers = |mark: &str| mark.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
        if numbers(&marks[0]).iter().zip(numbers(&marks[1])).all(|(one, other)| *one != other) {
            return pack(&images, &out);
        }
        if attempt == ATTEMPTS {
            return Err(format!("the guest images do not differ: {} and {}", marks[0], marks[1]).into());
        }
    }
    Ok(())
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

fn build(tool: &OsString, guest: &Path, out: &Path, index: usize) -> Result<Vec<u8>> {
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
            let text = fs::read_to_string(&path)?.replace("@PADDING@", &PADDINGS[index].to_string());
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
    Ok(fs::read(image)?)
}

/// `hash address,address,address` as `app.py` wrote it.
fn mark(image: &[u8]) -> Result<String> {
    // The constant's own parts are in the image as well, so the text after the mark decides.
    for start in image.windows(MARK.len() + 5).enumerate().filter(|(_, window)| window.starts_with(MARK)).map(|(start, _)| start) {
        let rest = &image[start + MARK.len()..];
        if let Some(end) = rest.iter().take(80).position(|&byte| byte == b';')
            && let Ok(text) = std::str::from_utf8(&rest[..end])
            && !text.contains('%')
        {
            return Ok(text.to_owned());
        }
    }
    Err("the guest image lacks its mark (app.py: MARK)".into())
}

fn pack(images: &[Vec<u8>; 2], out: &Path) -> Result<()> {
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
