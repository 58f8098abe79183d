//! Signals as readable bytes, for loops that wait on descriptors.

use mio::net::UnixStream;
use std::io::{self, Read};

/// The signals caught so far.
#[derive(Debug)]
pub struct Signals {
    streams: Vec<(i32, UnixStream)>,
    main: UnixStream,
}

impl Signals {
    /// Catches these signals from now on.
    pub fn catch(signals: &[i32]) -> io::Result<Signals> {
        let mut streams = Vec::new();
        // One pipe wakes the loop for all of them; one more for each says which it was.
        let (main, wake) = UnixStream::pair()?;
        for signal in signals {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(*signal, std_stream(write)?)?;
            signal_hook::low_level::pipe::register(*signal, std_stream_clone(&wake)?)?;
            streams.push((*signal, read));
        }
        Ok(Signals { streams, main })
    }

    /// What to register with a poll.
    pub fn source(&mut self) -> &mut UnixStream {
        &mut self.main
    }

    /// The signals that came since the last call.
    pub fn read(&mut self) -> Vec<i32> {
        let mut buffer = [0; 64];
        while matches!(self.main.read(&mut buffer), Ok(n) if n > 0) {}
        let mut found = Vec::new();
        for (signal, stream) in &mut self.streams {
            if matches!(stream.read(&mut buffer), Ok(n) if n > 0) {
                found.push(*signal);
            }
        }
        found
    }
}

fn std_stream(stream: UnixStream) -> io::Result<std::os::unix::net::UnixStream> {
    Ok(std::os::fd::OwnedFd::from(stream).into())
}

fn std_stream_clone(stream: &UnixStream) -> io::Result<std::os::unix::net::UnixStream> {
    use std::os::fd::AsFd;
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}
