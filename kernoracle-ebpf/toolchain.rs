//! Which compiler and linker can build for the eBPF target on this machine.
//!
//! Shared, by `#[path]`, between the daemon's build script (which needs one) and xtask (which installs
//! what is missing), so that the two cannot disagree. Plain std; nothing is installed or written here.
//!
//! The target has no prebuilt `core`: the compiler must come with `core`'s source, and `-Z build-std`
//! needs a nightly or `RUSTC_BOOTSTRAP=1`. bpf-linker reads the bitcode that rustc writes, and LLVM
//! reads bitcode of its own or an older major only: its LLVM must not be older than rustc's.

use std::{
    env, fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

/// A compiler that was found, fit or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// Absolute path of the compiler itself, not of a rustup proxy.
    pub rustc: PathBuf,
    /// The cargo to drive it with.
    pub cargo: PathBuf,
    /// Major version of its LLVM.
    pub llvm_major: u32,
    /// `core`'s source is installed where cargo looks for it.
    pub has_src: bool,
    /// `RUSTC_BOOTSTRAP=1` is needed: it is not a nightly.
    pub bootstrap: bool,
    /// Where it comes from, for a person.
    pub origin: String,
}

/// All that is needed to build for the eBPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    /// Set `RUSTC_BOOTSTRAP=1`.
    pub bootstrap: bool,
    pub linker: PathBuf,
    /// Major version of rustc's LLVM.
    pub llvm_major: u32,
    /// Where the compiler comes from, for a person.
    pub origin: String,
}

/// Which compilers may be taken. `cargo xtask setup --toolchain` leaves it in [`Choice::FILE`], so that
/// a plain `cargo build` later keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that is there.
    #[default]
    Auto,
    /// One that rustup manages.
    Rustup,
    /// The distribution's package.
    Debian,
}

impl Choice {
    /// In the target directory: one word. Not there: [`Choice::Auto`]. Beside the linker, so that the
    /// build script has one directory to watch.
    pub const FILE: &str = "bpf-linker/toolchain";

    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        }
    }

    pub fn read(target_dir: &Path) -> Result<Self, Missing> {
        let file = target_dir.join(Self::FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Auto),
            Err(error) => return Err(Missing::Choice(file, error.to_string())),
        };
        [Self::Auto, Self::Rustup, Self::Debian]
            .into_iter()
            .find(|choice| choice.word() == text.trim())
            .ok_or_else(|| Missing::Choice(file, format!("unknown word {:?}", text.trim())))
    }

    pub fn admits(self, compiler: &Compiler) -> bool {
        let distribution = compiler.rustc.starts_with("/usr/bin");
        match self {
            Self::Auto => true,
            Self::Rustup => !distribution,
            Self::Debian => distribution,
        }
    }
}

/// What keeps this machine from building for the eBPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The file that holds the choice cannot be understood.
    Choice(PathBuf, String),
    /// No compiler comes with `core`'s source; these were looked at.
    Source(Vec<Compiler>),
    /// There is a compiler, but no bpf-linker whose LLVM is at least as new.
    Linker(Compiler),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Choice(file, why) = self {
            return write!(
                f,
                "{}: {why}: run `cargo xtask setup --toolchain auto`",
                file.display()
            );
        }
        f.write_str("no tool chain for the eBPF target: run `cargo xtask setup` (")?;
        match self {
            Self::Choice(..) => {}
            Self::Source(seen) if seen.is_empty() => f.write_str("no rustc found")?,
            Self::Source(seen) => {
                f.write_str("no rust-src beside")?;
                for (i, compiler) in seen.iter().enumerate() {
                    write!(
                        f,
                        "{} {}",
                        if i == 0 { "" } else { "," },
                        compiler.rustc.display()
                    )?;
                }
            }
            Self::Linker(Compiler {
                rustc, llvm_major, ..
            }) => {
                write!(
                    f,
                    "no bpf-linker of LLVM {llvm_major} or later for {}",
                    rustc.display()
                )?;
            }
        }
        f.write_str(")")
    }
}

impl std::error::Error for Missing {}

/// The compilers of this machine, best first: rustup nightlies, the distribution's, the one in use.
pub fn compilers() -> Vec<Compiler> {
    let mut found: Vec<Compiler> = Vec::new();
    let mut add = |compiler: Option<Compiler>| {
        if let Some(compiler) = compiler
            && found.iter().all(|known| known.rustc != compiler.rustc)
        {
            found.push(compiler);
        }
    };
    for dir in nightlies() {
        let name = dir
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        add(probe(
            &dir.join("bin/rustc"),
            Some(dir.join("bin/cargo")),
            &format!("rustup {name}"),
        ));
    }
    add(probe(
        Path::new("/usr/bin/rustc"),
        None,
        "the distribution's rustc",
    ));
    add(in_use());
    found
}

/// A bpf-linker whose LLVM is at least `llvm_major`: the one built into `target_dir`, else in `PATH`.
pub fn linker_in(target_dir: &Path, llvm_major: u32) -> Option<PathBuf> {
    let own = target_dir.join("bpf-linker/bin/bpf-linker");
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| home().map(|home| home.join(".cargo")));
    std::iter::once(own)
        .chain(search_path("bpf-linker"))
        .chain(cargo_home.map(|home| home.join("bin/bpf-linker")))
        .find(|linker| linker_llvm(linker).is_some_and(|llvm| llvm >= llvm_major))
}

/// The first compiler with source that a linker fits. `target_dir` is the workspace's.
pub fn detect(target_dir: &Path) -> Result<Toolchain, Missing> {
    let choice = Choice::read(target_dir)?;
    let mut compilers = compilers();
    compilers.retain(|compiler| choice.admits(compiler));
    let mut unlinked = None;
    for compiler in compilers.iter().filter(|compiler| compiler.has_src) {
        let Compiler {
            rustc,
            cargo,
            llvm_major,
            has_src: _,
            bootstrap,
            origin,
        } = compiler.clone();
        if let Some(linker) = linker_in(target_dir, llvm_major) {
            return Ok(Toolchain {
                rustc,
                cargo,
                bootstrap,
                linker,
                llvm_major,
                origin,
            });
        }
        unlinked.get_or_insert(compiler);
    }
    Err(unlinked
        .cloned()
        .map_or_else(|| Missing::Source(compilers.clone()), Missing::Linker))
}

/// Tool chain directories of rustup's nightlies, the undated one first, then the newest.
fn nightlies() -> Vec<PathBuf> {
    // The directories are read rather than rustup asked: some rustup versions answer a question about
    // a tool chain by installing it.
    let Some(root) = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| home().map(|home| home.join(".rustup")))
    else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(root.join("toolchains")) else {
        return Vec::new();
    };
    let mut dirs: Vec<(bool, String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix("nightly-")?;
            Some((
                !rest.starts_with(|c: char| c.is_ascii_digit()),
                name.clone(),
                entry.path(),
            ))
        })
        .collect();
    dirs.sort();
    dirs.into_iter().rev().map(|(_, _, path)| path).collect()
}

/// The compiler that builds the rest of the workspace, seen through a rustup proxy.
fn in_use() -> Option<Compiler> {
    let rustc = env::var_os("RUSTC")
        .map(PathBuf::from)
        .or_else(|| search_path("rustc").next())?;
    let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?.trim());
    probe(&sysroot.join("bin/rustc"), None, "the rustc in use")
}

fn probe(rustc: &Path, cargo: Option<PathBuf>, origin: &str) -> Option<Compiler> {
    let version = ask(rustc, &["-vV"])?;
    let field = |name: &str| {
        version
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let llvm_major = field("LLVM version:")?.split('.').next()?.parse().ok()?;
    let release = field("release:")?;
    // A distribution's stable release may carry a rustc that cannot read this workspace.
    if minor(release)? < minor(env!("CARGO_PKG_RUST_VERSION"))? {
        return None;
    }
    let bootstrap = !release.contains("nightly");
    let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?.trim());
    let cargo = cargo
        .filter(|cargo| cargo.is_file())
        .or_else(|| env::var_os("CARGO").map(PathBuf::from))
        .or_else(|| search_path("cargo").next())?;
    Some(Compiler {
        rustc: rustc.to_owned(),
        cargo,
        llvm_major,
        has_src: sysroot
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file(),
        bootstrap,
        origin: format!("{origin} ({})", version.lines().next().unwrap_or_default()),
    })
}

/// `x` of a Rust release `1.x.y`.
fn minor(release: &str) -> Option<u32> {
    release.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

/// Major version of the LLVM inside a bpf-linker.
///
/// It has no option that tells. Linked dynamically it names `libLLVM.so.N`; linked statically it holds
/// the identification that LLVM writes into bitcode, `LLVMN.n.n`.
fn linker_llvm(linker: &Path) -> Option<u32> {
    // One that cannot start (its libLLVM is gone) is no linker.
    ask(linker, &["--version"])?;
    llvm_in(&fs::read(linker).ok()?)
}

fn llvm_in(binary: &[u8]) -> Option<u32> {
    let mut identified = None;
    for (at, _) in binary
        .windows(4)
        .enumerate()
        .filter(|(_, window)| window == b"LLVM")
    {
        let rest = &binary[at + 4..];
        if binary[..at].ends_with(b"lib") {
            let soname = rest
                .strip_prefix(b".so.")
                .or_else(|| rest.strip_prefix(b"-"));
            if let Some((major, _)) = soname.and_then(number) {
                return Some(major);
            }
        } else if let Some((major, tail)) = number(rest)
            && let Some((_, tail)) = tail.strip_prefix(b".").and_then(number)
            && tail.starts_with(b".")
        {
            identified = identified.max(Some(major));
        }
    }
    identified
}

/// A decimal number and what follows it; something must follow.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let len = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let major = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((major, &text[len..]))
}

fn ask(program: &Path, args: &[&str]) -> Option<String> {
    // Cargo's settings for the outer build must not change the answers.
    let output = Command::new(program)
        .args(args)
        .env_remove("RUSTC_BOOTSTRAP")
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())?
}

fn search_path(name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join(name))
        .filter(|candidate| candidate.is_file())
        .collect();
    found.into_iter()
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)
}
