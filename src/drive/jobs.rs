//! Timed jobs: `every 1h: COMMAND` and `at 04:30: COMMAND`.

use super::program::wait_or_kill;
use crate::clock::Timestamp;
use crate::log;
use crate::tables::aliases::split_command;
use std::process::{Child, Command};
use std::time::Duration;

/// How long a job may take to end.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Every(Duration),
    /// Hour and minute, local time.
    At(u32, u32),
}

/// One job. It never runs twice at once.
#[derive(Debug)]
pub struct Job {
    name: String,
    when: When,
    argv: Vec<String>,
    last: Option<Timestamp>,
    child: Option<Child>,
}

impl Job {
    /// Reads a job's text.
    pub fn parse(name: &str, text: &str) -> Result<Job, String> {
        let usage = "write \"every 1h: command\" or \"at 04:30: command\"";
        let (when, command) = match text.trim_start().strip_prefix("at ") {
            Some(rest) => {
                let (hour, rest) = rest.split_once(':').ok_or(usage)?;
                let (minute, command) = rest.split_once(':').ok_or(usage)?;
                let hour = hour.trim().parse().ok().filter(|h| *h < 24).ok_or(usage)?;
                let minute = minute.trim().parse().ok().filter(|m| *m < 60).ok_or(usage)?;
                (When::At(hour, minute), command)
            }
            None => {
                let rest = text.trim_start().strip_prefix("every ").ok_or(usage)?;
                let (span, command) = rest.split_once(':').ok_or(usage)?;
                let span = humantime::parse_duration(span.trim()).map_err(|e| format!("{span:?}: {e}"))?;
                (When::Every(span.max(SHORTEST)), command)
            }
        };
        let argv = split_command(command.trim()).filter(|a| !a.is_empty()).ok_or("no command, or an open quote")?;
        let is_ours = argv[0].starts_with("em") && !argv[0].contains('/');
        if !is_ours && !argv[0].starts_with('/') {
            return Err(format!("{:?}: a command of ours, or a full path", argv[0]));
        }
        Ok(Job { name: name.to_string(), when, argv, last: None, child: None })
    }

    /// True when the other one has the same name, time and command.
    pub fn is_same(&self, other: &Job) -> bool {
        (&self.name, self.when, &self.argv) == (&other.name, other.when, &other.argv)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        match self.when {
            When::Every(span) => self.last.is_none_or(|last| now.since(last) >= span),
            When::At(hour, minute) => {
                let is_time = now.local("%H:%M") == format!("{hour:02}:{minute:02}");
                is_time && self.last.is_none_or(|last| now.since(last) >= Duration::from_secs(120))
            }
        }
    }

    /// Starts the job when its time has come.
    pub fn run_if_due(&mut self, now: Timestamp, command: impl Fn(&[String]) -> Option<Command>) {
        // The first interval begins with the supervisor: a restart is no reason to run everything.
        if self.last.is_none() && matches!(self.when, When::Every(_)) {
            self.last = Some(now);
        }
        if self.child.is_some() || !self.is_due(now) {
            return;
        }
        self.last = Some(now);
        match command(&self.argv).map(|mut c| c.spawn()) {
            Some(Ok(child)) => {
                log::event("job-started").field("job", &self.name).field("pid", child.id()).write();
                self.child = Some(child);
            }
            Some(Err(e)) => log::event("job-failed").field("job", &self.name).field("reason", e).error().write(),
            None => {}
        }
    }

    /// Notes the end of a run.
    pub fn reap(&mut self) {
        if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
            self.child = None;
            let event = log::event("job-ended").field("job", &self.name).field("status", status);
            if status.success() { event.write() } else { event.error().write() }
        }
    }

    /// Ends a run: politely first.
    pub fn end(&mut self) {
        let Some(child) = self.child.take() else { return };
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM);
        wait_or_kill(child, END_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read() {
        let job = Job::parse("x", "every 15m: emqueue run --all").unwrap();
        assert_eq!((job.when, job.argv.len()), (When::Every(Duration::from_secs(900)), 3));
        assert_eq!(Job::parse("x", "at 04:30: /bin/true").unwrap().when, When::At(4, 30));
        for bad in ["", "every: x", "every 5q: emqueue", "at 25:00: emqueue", "every 1h: rm -rf", "every 1h:"] {
            assert!(Job::parse("x", bad).is_err(), "{bad}");
        }
    }
}
