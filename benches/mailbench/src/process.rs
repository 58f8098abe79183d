//! CPU time and memory of a target: one process and everything below it, read from /proc.
//!
//! A child that has ended is not lost: its time was added to the parent that waited for it, and we sum
//! `utime + stime + cutime + cstime` over the tree. Work that kernel threads do for the target (the journal of the
//! file system, the network on loopback) is not counted, for any target alike.

use std::collections::HashSet;
use std::fs;

/// Ticks a second of the times in /proc/PID/stat; Linux has had 100 since 2.6, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// A process and its descendants, looked up anew at each question.
#[derive(Clone, Copy)]
pub struct Tree {
    top: u32,
}

struct Row {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Tree {
    /// The tree below `top`; 0 stands for "no target": all answers are then 0.
    pub fn below(top: u32) -> Tree {
        Tree { top }
    }

    /// CPU milliseconds used so far, by living and by ended processes.
    pub fn cpu_ms(self) -> f64 {
        self.rows().iter().map(|row| row.ticks).sum::<u64>() as f64 / TICKS * 1e3
    }

    /// Proportional set size of all processes, in KiB.
    pub fn pss_kib(self) -> f64 {
        self.rows().iter().map(|row| kib(row.pid, "smaps_rollup", "Pss:")).sum()
    }

    /// Resident set size of all processes, in KiB; what they share counts for each.
    pub fn rss_kib(self) -> f64 {
        self.rows().iter().map(|row| kib(row.pid, "status", "VmRSS:")).sum()
    }

    /// How many processes there are.
    pub fn processes(self) -> usize {
        self.rows().len()
    }

    fn rows(self) -> Vec<Row> {
        if self.top == 0 {
            return Vec::new();
        }
        let all: Vec<Row> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(row)
            .collect();
        let mut inside = HashSet::from([self.top]);
        loop {
            let before = inside.len();
            for row in &all {
                if inside.contains(&row.parent) {
                    inside.insert(row.pid);
                }
            }
            if inside.len() == before {
                return all.into_iter().filter(|row| inside.contains(&row.pid)).collect();
            }
        }
    }
}

fn row(pid: u32) -> Option<Row> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, so count fields from the last one.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
    // After the name: 0 state, 1 parent, 11..=14 utime stime cutime cstime (proc_pid_stat(5)).
    Some(Row { pid, parent: number(1)? as u32, ticks: number(11)? + number(12)? + number(13)? + number(14)? })
}

/// A figure from one of the files about a process.
fn kib(pid: u32, file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
}
