//! What the process writes (log lines, spooled rows) is for its owner only.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;

/// From now on, files and directories are made without any right for the group and others. To be called first.
pub fn files() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Makes a directory that only its owner may look into, or makes one that is there so: it holds log lines.
///
/// # Errors
/// If it cannot be made, or belongs to somebody else.
pub fn directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn nobody_else_may_read_what_is_written() {
        super::files();
        let root = tempfile::tempdir().unwrap();
        let (file, directory) = (root.path().join("file"), root.path().join("directory"));
        std::fs::write(&file, "x").unwrap();
        std::fs::create_dir(&directory).unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&directory)), (0o600, 0o700));
        let open = root.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        super::directory(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
    }
}
