//! Files that outlive the process that writes them, and not the stack: without a name, held open by the supervisor, and opened by
//! its children by way of the kernel's list of its descriptors. Whatever ends the stack ends them.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};

/// An empty file: on the disk of temporary files, or, where its file system has none without a name, in memory.
///
/// # Errors
/// The kernel's.
pub(super) fn create() -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let unnamed = openat(CWD, std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    let file = match unnamed {
        Ok(file) => file,
        Err(_) => memfd_create("disk", MemfdFlags::CLOEXEC)?,
    };
    Ok(file.into())
}

/// Where a child finds it.
pub(super) fn path(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// A directory of its own for a server of another make; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Among the temporary files, where nobody but this user can look into it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn create(name: &str) -> io::Result<Self> {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = std::env::temp_dir().join(format!("rehearsal-{}-{plain}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed stays among the temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_written_by_its_path_is_in_the_file() {
        let mut file = create().expect("a file");
        let mut other = File::options().write(true).open(path(&file)).expect("the same file");
        other.write_all(b"kept").expect("written");
        drop(other);
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "kept");
    }
}
