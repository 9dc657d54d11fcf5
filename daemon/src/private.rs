//! What the process writes (log lines, spooled rows) is for its owner only.

use rustix::fs::Mode;

/// From now on, files and directories are made without any right for the group and others. To be called first.
pub fn files() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
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
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&directory)), (0o600, 0o700));
    }
}
