//! Where things are: the workspace, a stack's files, the socket. Makes directories private; knows nothing of their contents.

use crate::shortage::not_started;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The name of the file that describes a workspace.
pub const CONFIG_FILE: &str = "dev.toml";

/// The longest socket path that every system takes: macOS has 104 bytes with the final zero.
const SOCKET_LIMIT: usize = 100;

/// Finds `dev.toml`: the named one, the nearest upwards from `start`, else the one of this crate's own workspace.
///
/// # Errors
/// When there is none.
pub fn find_config(named: Option<&Path>, start: &Path) -> Result<PathBuf> {
    if let Some(named) = named {
        let path = start.join(named);
        let path = if path.is_dir() { path.join(CONFIG_FILE) } else { path };
        return with_real_directory(&path).context("--file names the dev.toml to use");
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let found = start
        .ancestors()
        .chain(own)
        .map(|dir| dir.join(CONFIG_FILE))
        .find(|path| path.is_file());
    let Some(path) = found else {
        bail!(
            "no {CONFIG_FILE} in {} or above it; write one, or name it with --file",
            start.display()
        );
    };
    with_real_directory(&path)
}

/// The same file under its directory's one name. A file that is a link stays where the link is: that is the workspace.
fn with_real_directory(path: &Path) -> Result<PathBuf> {
    let found = || format!("failed to find {}", path.display());
    // Where it leads to nowhere, the cause says so.
    path.metadata().with_context(found)?;
    let (dir, name) = (path.parent().unwrap_or(path), path.file_name().with_context(found)?);
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    Ok(dir.canonicalize().with_context(found)?.join(name))
}

/// What a stack runs, in its directory.
pub const STATE_FILE: &str = "state.json";

/// What its supervisor did and why, beside it.
pub const EVENTS_FILE: &str = "supervisor.log";

/// The files of one stack.
#[derive(Debug, Clone)]
pub struct StackPaths {
    /// `.dev/<profile>`.
    pub dir: PathBuf,
    /// `.dev/<profile>/logs`.
    pub logs: PathBuf,
    /// What the supervisor did and why.
    pub events: PathBuf,
    /// For recovery.
    pub state: PathBuf,
    /// Held while somebody starts the stack.
    pub starting: PathBuf,
    /// Held by the keeper as long as it lives.
    pub alive: PathBuf,
    /// Where the supervisor listens.
    pub socket: PathBuf,
}

impl StackPaths {
    /// The files of `profile` below `state_dir`.
    ///
    /// # Errors
    /// When there is no place for the socket.
    pub fn new(state_dir: &Path, profile: &str) -> Result<Self> {
        let dir = state_dir.join(profile);
        let key = format!("{:016x}.sock", fnv1a(dir.as_os_str().as_encoded_bytes()));
        let socket = runtime_dir(key.len() + 1)?.join(key);
        Ok(Self::with_socket(state_dir, profile, socket))
    }

    /// The same, with a socket that was found a place for.
    pub fn with_socket(state_dir: &Path, profile: &str, socket: PathBuf) -> Self {
        let dir = state_dir.join(profile);
        Self {
            logs: dir.join("logs"),
            events: dir.join(EVENTS_FILE),
            state: dir.join(STATE_FILE),
            starting: dir.join("starting.lock"),
            alive: dir.join("alive.lock"),
            socket,
            dir,
        }
    }

    /// The name of the profile.
    pub fn profile(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Makes the directories, with a `.gitignore` that keeps them out of version control.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn make(&self, state_dir: &Path) -> Result<()> {
        make_state_dir(state_dir)?;
        make_ignored(&self.dir)?;
        private_dir(&self.logs)
    }
}

/// Makes the directory of logs and state, with a `.gitignore` that keeps it out of version control. One that holds other things, too,
/// is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_state_dir(state_dir: &Path) -> Result<()> {
    make_ignored(state_dir)
}

/// A directory of ours alone: one that is new, or holds nothing but what a stack has put there.
fn make_ignored(dir: &Path) -> Result<()> {
    private_dir(dir)?;
    let is_ours = |entry: fs::DirEntry| {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        name.starts_with("saved.json") || TRACES.iter().any(|trace| name.starts_with(trace)) || has_been_a_stacks(&path)
    };
    let is_ours_alone = fs::read_dir(dir).is_ok_and(|entries| entries.flatten().all(is_ours));
    let is_ignored = || dir.parent().is_some_and(|above| above.join(IGNORE).exists());
    if !is_ours_alone || is_ignored() || dir.join(IGNORE).exists() {
        return Ok(());
    }
    write_atomically(&dir.join(IGNORE), b"*\n")
}

/// What every stack leaves in its directory.
const TRACES: [&str; 2] = ["logs", EVENTS_FILE];

/// Whether a stack has ever had this directory.
pub fn has_been_a_stacks(dir: &Path) -> bool {
    TRACES.iter().any(|trace| dir.join(trace).exists())
}

/// What keeps a directory out of version control.
const IGNORE: &str = ".gitignore";

/// A lock on a file, released when it is dropped or its process ends, however that happens.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

impl Lock {
    /// Takes the lock as soon as nobody else holds it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self> {
        Self::with(path, FlockOperation::LockExclusive)?.with_context(|| format!("failed to lock {}", path.display()))
    }

    /// Takes the lock as soon as nobody else holds it; `None` when that takes longer than `limit`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn take_within(path: &Path, limit: Duration) -> Result<Option<Self>> {
        if let Some(lock) = Self::try_take(path)? {
            return Ok(Some(lock));
        }
        let path = path.to_owned();
        let (sender, taken) = channel();
        // flock has no time limit: a thread waits, and is left behind where it waits for ever. A lock that comes too late is
        // dropped with the channel.
        std::thread::Builder::new()
            .spawn(move || sender.send(Self::take(&path)))
            .map_err(not_started)
            .context("failed to start a thread that waits for a lock")?;
        taken.recv_timeout(limit).map_or(Ok(None), |lock| lock.map(Some))
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        Self::with(path, FlockOperation::NonBlockingLockExclusive)
    }

    fn with(path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path);
        let file = open.with_context(|| format!("failed to open {}", path.display()))?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| format!("failed to lock {}", path.display())),
            }
        }
    }
}

/// The directory of all sockets of this user: below `$XDG_RUNTIME_DIR`, else below the temporary directory.
/// A place whose path would be too long for a socket is passed over.
///
/// # Errors
/// When there is no such directory that is the user's alone.
pub fn runtime_dir(room: usize) -> Result<PathBuf> {
    let fits = |dir: &PathBuf| dir.is_absolute() && dir.as_os_str().len() + 1 + room <= SOCKET_LIMIT;
    let user = rustix::process::getuid().as_raw();
    let xdg = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_dir());
    let name = format!("xtask-{user}");
    let places = [
        xdg.map(|dir| dir.join("xtask")),
        Some(std::env::temp_dir().join(&name)),
        Some(Path::new("/tmp").join(&name)),
    ];
    let Some(dir) = places.into_iter().flatten().find(fits) else {
        bail!("no directory for sockets has a path short enough; set XDG_RUNTIME_DIR to a short one");
    };
    private_dir(&dir)?;
    let meta = fs::symlink_metadata(&dir)?;
    ensure!(
        meta.is_dir() && meta.uid() == user && meta.mode() & 0o077 == 0,
        "{} is not a directory of yours alone; remove it, or set XDG_RUNTIME_DIR",
        dir.display()
    );
    Ok(dir)
}

/// Makes a directory, and those above it, for the user alone.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("failed to make directory {}", path.display()))
}

/// Sets a file's permissions.
///
/// # Errors
/// When it is not ours.
pub fn make_private(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("failed to set the permissions of {}", path.display()))
}

/// Writes a file so that a reader sees the old or the new content, never a part.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    write_through(path, content, |_| Ok(()))
}

/// The same, and the new content is on the disk before the old one goes: for what must survive a loss of power.
///
/// # Errors
/// When it cannot be written.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<()> {
    write_through(path, content, File::sync_all)
}

fn write_through(path: &Path, content: &[u8], finish: impl Fn(&File) -> std::io::Result<()>) -> Result<()> {
    // Two writers at once, in one process or in two, must not share it.
    static WRITES: AtomicU32 = AtomicU32::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        std::io::Write::write_all(&mut file, content)?;
        finish(&file)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| {
        let _ = fs::remove_file(&temporary);
        format!("failed to write {}", path.display())
    })
}

/// Removes a file; its absence is fine.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// FNV-1a: the same in every version of the program, unlike the standard library's hash.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
