//! The name and password for the smart host, from a file that only its owner may read.

use crate::fsx;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroize;

/// Largest password file read, in octets.
const FILE_LIMIT: u64 = 4096;

/// Credentials for another host.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account's name there.
    pub user: String,
    /// Its password.
    pub password: String,
    /// It may be sent where there is no TLS.
    pub without_tls: bool,
}

impl Login {
    /// Reads the password: the file's first line, as it stands. The error is in words, for the administrator.
    pub fn read(user: &str, file: &Path, without_tls: bool) -> Result<Login, String> {
        let about = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
        let mode = std::fs::metadata(file).map_err(|e| about(&e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(about(&"others than its owner may read it: chmod 600"));
        }
        let mut bytes = fsx::read(file, FILE_LIMIT).map_err(|e| about(&e))?;
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let password = std::str::from_utf8(line).map(str::to_string);
        bytes.zeroize();
        match password {
            Ok(password) if password.is_empty() => Err(about(&"no password in its first line")),
            Ok(password) if password.contains('\0') => Err(about(&"NUL in the password")),
            Ok(password) => Ok(Login { user: user.to_string(), password, without_tls }),
            Err(_) => Err(about(&"not UTF-8 text")),
        }
    }
}

impl std::fmt::Debug for Login {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_from_a_private_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let write = |text: &[u8], mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            Login::read("me", &file, false)
        };
        let login = write(b"se cret\r\nmore\n", 0o600).unwrap();
        assert_eq!(login.password, "se cret");
        assert!(!format!("{login:?}").contains("cret"));
        assert!(write(b"x", 0o640).unwrap_err().contains("chmod 600"));
        for bad in [&b""[..], b"\nx", b"\xff\n", b"a\0b\n"] {
            assert!(write(bad, 0o600).is_err(), "{bad:?}");
        }
        assert!(Login::read("me", &dir.path().join("none"), false).unwrap_err().contains("none"));
    }
}
