//! Members of an alias that a file names: `:include:/path`.
//!
//! Called by [`Expansion`] for the administrator's aliases; a user's own files are followed in `users`, with that user's rights.
//! One mistyped line does not stop the others. Trust: who may write the file is the one who names programs and files in it, so that a
//! file that others may write names none.

use super::Decider;
use super::expand::{Expansion, INCLUDE_LIMIT, in_sendmails_order};
use crate::addr::Address;
use crate::fsx;
use crate::log;
use crate::status::{Enhanced, Failure};
use crate::tables::aliases::{Target, parse_targets};
use crate::tables::old_aliases;
use std::io;
use std::path::Path;

impl Expansion<'_> {
    /// Follows the members that a file names.
    pub(super) fn include(&mut self, path: &Path, name: &str, key: &Address) -> Result<(), Failure> {
        self.say(Decider::Alias, || format!("include {}", path.display()));
        let (bytes, is_safe) = read_include(path)
            .map_err(|e| Failure::temporary((2, 4), "Mailing list is not readable, try again later", e))?;
        let text = String::from_utf8_lossy(&bytes);
        let is_old = self.router.site().settings.cf.is_some();
        let mut targets = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            if is_old {
                let mut members = in_sendmails_order(old_aliases::targets(line, true));
                if !is_safe {
                    self.forbid(path, &mut members);
                }
                // What is wrong is told with its place.
                let before = self.place.replace(format!("{}: line {}: ", path.display(), number + 1));
                let result = self.targets(&members, name, key);
                self.place = before;
                result?;
                continue;
            }
            match parse_targets(line, false) {
                Ok(found) => targets.extend(found),
                // One mistyped member must not stop the list; the log says where.
                Err(wrong) => log::event("include-line-skipped")
                    .field("file", path.display())
                    .field("line", number + 1)
                    .field("reason", wrong.message)
                    .error()
                    .write(),
            }
        }
        if !is_safe {
            self.forbid(path, &mut targets);
        }
        self.targets(&targets, name, key)
    }

    /// Takes programs and files out of a list that others may write.
    fn forbid(&self, path: &Path, targets: &mut [Target]) {
        for target in targets.iter_mut().filter(|target| matches!(target, Target::Program(_) | Target::File(_))) {
            let reason = "others may write the list: no programs and files from it";
            log::event("include-not-obeyed").field("file", path.display()).field("reason", reason).error().write();
            *target = Target::Error(Enhanced(5, 7, 1), "Programs and files are not allowed in this list".into());
        }
    }
}

/// An :include: file, and whether it may name programs and files: not when somebody else than the administrator may write it.
fn read_include(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    use std::os::unix::fs::MetadataExt;
    let file = fsx::open_read(path)?;
    let metadata = file.metadata()?;
    let is_ours = metadata.uid() == 0 || metadata.uid() == nix::unistd::geteuid().as_raw();
    let is_safe = is_ours && metadata.mode() & 0o022 == 0;
    Ok((fsx::read_opened(file, path, INCLUDE_LIMIT)?, is_safe))
}
