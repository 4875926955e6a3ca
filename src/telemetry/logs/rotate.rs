//! A file that is rotated when it is full, as set in `logs.file_logger_options`.
//!
//! Source: the names and rules of lumberjack, which RoadRunner uses: `app.log` becomes `app-2006-01-02T15-04-05.000.log`, in UTC, and
//! `.gz` is added when it is compressed. A new file has mode 0600, whatever the umask; one that replaces another inherits its mode and, if
//! permitted, its owner. So an administrator's `chmod` or `chown` lasts.
//!
//! Old files are removed and compressed on a thread of their own, one after the other, since that takes seconds.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::config::File as Options;
use super::go_time::Layout;

const MB: u64 = 1 << 20;
const DAY: Duration = Duration::from_hours(24);

/// The mode of a new file.
const MODE: u32 = 0o600;

/// The current file.
pub(super) struct RotatingFile {
    options: Options,
    file: File,
    size: u64,
    /// The size at which it is rotated.
    limit: u64,
    cleaning: Option<JoinHandle<()>>,
}

impl RotatingFile {
    /// Opens the file for appending; creates it and its folder if they are missing.
    pub(super) fn open(options: Options) -> io::Result<Self> {
        if let Some(folder) = options.log_output.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(&options.log_output)?;
        let size = file.metadata()?.len();
        let limit = limit(&options);
        Ok(Self { options, file, size, limit, cleaning: None })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let aside = self.aside(SystemTime::now());
        let before = self.file.metadata()?;
        let path = &self.options.log_output;
        match fs::rename(path, &aside) {
            // It was removed; a new one is created.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
        inherit(&file, &before);
        self.size = file.metadata()?.len();
        self.file = file;
        self.limit = limit(&self.options);
        self.clean_up();
        Ok(())
    }

    /// Cleans up in the background; failures there must not lose a line here.
    fn clean_up(&mut self) {
        if self.cleaning.as_ref().is_some_and(|cleaning| !cleaning.is_finished()) {
            // The next rotation cleans up what is left.
            return;
        }
        let old = OldFiles { options: self.options.clone() };
        self.cleaning =
            thread::Builder::new().name("log-files".into()).spawn(move || drop(old.clean_up())).ok();
    }

    /// A free name for the full file.
    fn aside(&self, now: SystemTime) -> PathBuf {
        let (folder, stem, extension) = name_parts(&self.options.log_output);
        let mut time = now;
        loop {
            let path = folder.join(format!("{stem}-{}{extension}", stamp(time)));
            if !path.exists() && !folder.join(format!("{stem}-{}{extension}.gz", stamp(time))).exists() {
                return path;
            }
            time += Duration::from_millis(1);
        }
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size.saturating_add(line.len() as u64) > self.limit && self.rotate().is_err()
        {
            // Too large a file is better than lost lines. The next megabyte tries again.
            self.limit = self.size + MB;
        }
        let written = self.file.write(line)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(cleaning) = self.cleaning.take() {
            let _ = cleaning.join();
        }
        self.file.flush()
    }
}

fn limit(options: &Options) -> u64 {
    if options.max_size == 0 { 100 * MB } else { options.max_size.saturating_mul(MB) }
}

/// Gives `file` the mode and owner of another one, as far as permitted.
fn inherit(file: &File, other: &Metadata) {
    let _ = file.set_permissions(other.permissions());
    let _ = fchown(file, Some(other.uid()), Some(other.gid()));
}

fn name_parts(path: &Path) -> (&Path, String, String) {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension =
        path.extension().map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
    (path.parent().unwrap_or(Path::new("")), part(path.file_stem()), extension)
}

/// Rotated files.
struct OldFiles {
    options: Options,
}

impl OldFiles {
    /// Removes files that are too old or too many, and compresses the rest.
    fn clean_up(&self) -> io::Result<()> {
        let mut old = self.old_files()?;
        old.sort_by(|a, b| b.cmp(a));
        for (index, path) in old.into_iter().enumerate() {
            let age = path
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            let days = u32::try_from(self.options.max_age).unwrap_or(u32::MAX);
            let too_old = days > 0 && age.is_some_and(|age| age > DAY.saturating_mul(days));
            if too_old || (self.options.max_backups > 0 && index >= self.options.max_backups) {
                fs::remove_file(&path)?;
            } else if self.options.compress && path.extension().is_none_or(|extension| extension != "gz") {
                compress(&path)?;
            }
        }
        Ok(())
    }

    /// Rotated files; their names sort by time.
    fn old_files(&self) -> io::Result<Vec<PathBuf>> {
        let (folder, stem, extension) = name_parts(&self.options.log_output);
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let time =
                name.strip_prefix(&format!("{stem}-")).map(|rest| rest.strip_suffix(".gz").unwrap_or(rest));
            let time = time.and_then(|rest| rest.strip_suffix(extension.as_str()));
            if time.is_some_and(is_stamp) {
                files.push(folder.join(name));
            }
        }
        Ok(files)
    }
}

fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let mut plain = File::open(path)?;
    // A leftover of an interrupted compression is overwritten.
    let packed = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&name)?;
    inherit(&packed, &plain.metadata()?);
    let mut encoder = GzEncoder::new(packed, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::remove_file(path)
}

/// `2006-01-02T15-04-05.000`.
fn stamp(time: SystemTime) -> String {
    Layout::utc("2006-01-02T15-04-05.000").text(time)
}

fn is_stamp(text: &str) -> bool {
    let pattern = b"dddd-dd-ddTdd-dd-dd.ddd";
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern)
            .all(|(byte, place)| if *place == b'd' { byte.is_ascii_digit() } else { byte == *place })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn fill(options: &Options, megabytes: usize) {
        let mut file = RotatingFile::open(options.clone()).unwrap();
        for _ in 0..megabytes * 16 {
            file.write_all(&vec![b'x'; 64 * 1024]).unwrap();
        }
        file.flush().unwrap();
    }

    #[test]
    fn a_full_file_is_rotated_and_max_backups_old_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log_output = folder.path().join("logs/app.log");
        let options =
            Options { log_output: log_output.clone(), max_size: 1, max_backups: 2, ..Options::default() };
        fill(&options, 5);
        let names = names(&folder.path().join("logs"));
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[2], "app.log");
        assert!(is_stamp(&names[0][4..27]) && &names[0][27..] == ".log", "{names:?}");
        assert_eq!(log_output.metadata().unwrap().len(), MB);
    }

    #[test]
    fn old_files_are_compressed_if_configured() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            log_output: folder.path().join("app.log"),
            max_size: 1,
            compress: true,
            ..Options::default()
        };
        fill(&options, 2);
        let names = names(folder.path());
        assert!(names.len() == 2 && names[0].ends_with(".log.gz"), "{names:?}");
        assert!(folder.path().join(&names[0]).metadata().unwrap().len() < MB / 10);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app-notes.log"), "keep").unwrap();
        let options = Options {
            log_output: folder.path().join("app.log"),
            max_size: 1,
            max_backups: 1,
            ..Options::default()
        };
        fill(&options, 4);
        assert!(names(folder.path()).contains(&"app-notes.log".to_owned()));
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_its_successor_inherits_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let log_output = folder.path().join("app.log");
        let options =
            Options { log_output: log_output.clone(), max_size: 1, compress: true, ..Options::default() };
        fill(&options, 1);
        assert_eq!(mode(&log_output), 0o600);
        fs::set_permissions(&log_output, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        fill(&options, 2);
        for name in names(folder.path()) {
            assert_eq!(mode(&folder.path().join(&name)), 0o640, "{name}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_rotated_keeps_growing() {
        let folder = tempfile::tempdir().unwrap();
        let log_output = folder.path().join("app.log");
        let options = Options { log_output: log_output.clone(), max_size: 1, ..Options::default() };
        let mut file = RotatingFile::open(options).unwrap();
        // Without its folder no other file can be opened.
        fs::remove_dir_all(folder.path()).unwrap();
        for _ in 0..40 {
            file.write_all(&vec![b'x'; 64 * 1024]).unwrap();
        }
        assert_eq!(file.size, 40 * 64 * 1024);
    }
}
