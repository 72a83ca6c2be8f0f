//! Replaces a file whole or not at all, also when the power goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces the file at `path` by what `write` writes, readable by its owner only. When this returns, the
/// new file is on the disk under its name; if it fails before the rename, the old one is as it was.
///
/// # Errors
/// If `write` fails, or a file system call. Nothing is left of the attempt.
pub fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_extension("new");
    let renamed = written(&new, write).and_then(|()| fs::rename(&new, path));
    if renamed.is_err() {
        // What the attempt takes up may be just the space that is missing.
        let _ = remove(&new);
    }
    renamed?;
    sync_directory_of(path)
}

/// Removes the file at `path`, and what an attempt to replace it may have left.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_with_attempts(path: &Path) -> io::Result<()> {
    remove(&path.with_extension("new"))?;
    remove(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn written(new: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    remove(new)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// A rename is on the disk when its directory is (rename(2), fsync(2)).
fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(dir.path().join("file.new"), "of an attempt that was cut short").unwrap();
        replace(&path, |file| file.write_all(b"one")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let fails = |file: &mut BufWriter<File>| {
            file.write_all(b"two")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = replace(&path, fails).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        remove_with_attempts(&path).unwrap();
        remove_with_attempts(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_in_its_place_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, |file| file.write_all(b"one")).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
