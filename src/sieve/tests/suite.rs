//! Runs the `.svtest` files of Pigeonhole's conformance suite.
//!
//! They are Sieve with a few commands more (`vocabulary`). What fails is compared with the list in `verdicts`.

use super::verdicts;
use super::vocabulary::Call;
use crate::clock::Timestamp;
use crate::sieve::run::Run;
use crate::sieve::{
    Action, Envelope, Environment, Form, Included, Limits, Location, MessageView, Outcome, Script, Seen, SpamRules,
    Store, Verdict, compile, compile_all,
};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

struct Suite {
    dir: PathBuf,
    /// Name and failure of each test.
    tests: Vec<(String, Option<String>)>,
    is_inside: bool,
    script: Option<Arc<Script>>,
    errors: Vec<String>,
    /// The result of a script, when one has run since the last reset.
    outcome: Option<Outcome>,
    envelope: Envelope,
    text: &'static [u8],
    folders: HashMap<String, Vec<Vec<u8>>>,
    sent: Vec<(Envelope, Vec<u8>)>,
    settings: BTreeMap<String, String>,
    rules: SpamRules,
    limits: Limits,
}

impl Suite {
    fn new(file: &Path) -> Suite {
        Suite {
            dir: file.parent().unwrap().to_path_buf(),
            tests: Vec::new(),
            is_inside: false,
            script: None,
            errors: Vec::new(),
            outcome: None,
            envelope: Envelope { from: "sender@example.com".into(), to: "recipient@example.com".into(), auth: None },
            text: b"",
            folders: HashMap::from([("INBOX".to_string(), Vec::new())]),
            sent: Vec::new(),
            settings: BTreeMap::new(),
            rules: SpamRules::default(),
            limits: Limits { redirects: 4, ..Limits::default() },
        }
    }

    fn view(&self) -> MessageView<'static> {
        MessageView::new(self.text, crate::dot::crlf_size(self.text), self.envelope.clone())
    }

    fn set(&mut self, what: &str, value: &str, message: &mut MessageView<'_>) {
        match what {
            "message" => {
                self.text = Box::leak(value.as_bytes().to_vec().into_boxed_slice());
            }
            "envelope.from" => self.envelope.from = path(value),
            "envelope.to" => self.envelope.to = path(value),
            "envelope.auth" => self.envelope.auth = Some(value.to_string()),
            _ => {}
        }
        *message = self.view();
    }

    fn compile(&mut self, name: &str) -> bool {
        self.errors.clear();
        let Ok(text) = std::fs::read(self.dir.join(name)) else {
            self.errors.push(format!("no file {name}"));
            return false;
        };
        match compile_all(&text, &self.limits) {
            Ok(script) => {
                self.script = Some(Arc::new(script));
                true
            }
            Err(errors) => {
                self.errors = errors.into_iter().map(|error| error.message).collect();
                false
            }
        }
    }

    fn run_script(&mut self) -> bool {
        self.errors.clear();
        let Some(script) = self.script.clone() else { return false };
        let limits = self.limits.clone();
        let mut view = self.view();
        let outcome = script.run(&mut view, self, &limits);
        self.errors.extend(outcome.error.iter().map(|error| error.message.clone()));
        let is_fine = outcome.error.is_none();
        self.outcome = Some(outcome);
        is_fine
    }

    fn actions(&self, run: &Run<'_>, message: &mut MessageView<'_>) -> Vec<Action> {
        if let Some(outcome) = &self.outcome {
            return outcome.actions.clone();
        }
        let (mut actions, keeps, flags) = run.so_far();
        if keeps {
            let edition = message.edition();
            actions.push(Action::Store(Store { is_implicit: true, flags, edition, ..Store::default() }));
        }
        actions
    }

    /// Carries out what was decided, as far as these tests look at it.
    fn execute(&mut self, run: &Run<'_>, message: &mut MessageView<'_>) -> bool {
        self.errors.clear();
        let mut is_fine = true;
        let envelope = self.envelope.clone();
        for action in self.actions(run, message) {
            match action {
                Action::Store(store) => {
                    let name = store.mailbox.clone().unwrap_or_else(|| "INBOX".to_string()).replace("Inbox.", "INBOX.");
                    let text = self.edited(store.edition.as_deref());
                    match self.folders.get_mut(&name) {
                        Some(folder) => folder.push(text),
                        None if store.create => {
                            self.folders.insert(name, vec![text]);
                        }
                        None => {
                            self.errors.push(format!("failed to store into mailbox '{name}': it doesn't exist"));
                            is_fine = false;
                            let original = self.text.to_vec();
                            self.folders.entry("INBOX".to_string()).or_default().push(original);
                        }
                    }
                }
                Action::Redirect(redirect) => {
                    let text = self.edited(redirect.edition.as_deref());
                    let sent = Envelope { to: redirect.to.to_string(), ..envelope.clone() };
                    self.sent.extend(verdicts::redirected(&text, &envelope).map(|text| (sent, text)));
                }
                Action::Discard => {}
                Action::Reject(reject) => {
                    let to = Envelope { from: String::new(), to: envelope.from.clone(), auth: None };
                    self.sent.extend(verdicts::refusal(&envelope, &reject.reason).map(|text| (to, text)));
                }
                Action::Vacation(vacation) => {
                    let to = Envelope { from: String::new(), to: envelope.from.clone(), auth: None };
                    self.sent.extend(verdicts::answer(self.text, &envelope, &vacation).map(|text| (to, text)));
                }
                Action::Notify(notify) => {
                    for to in notify.method.recipients() {
                        let to = Envelope { from: String::new(), to: to.to_string(), auth: None };
                        self.sent.extend(verdicts::notification(self.text, &envelope, &notify).map(|text| (to, text)));
                    }
                }
            }
        }
        is_fine
    }

    fn edited(&self, edition: Option<&crate::sieve::Edition>) -> Vec<u8> {
        match edition {
            None => self.text.to_vec(),
            Some(edition) => [&edition.top, &self.text[edition.body_at..], &edition.tail].concat(),
        }
    }

    fn configure(&mut self) {
        self.rules = SpamRules { spam: self.verdict("spam"), virus: self.verdict("virus") };
        let number = |key: &str| self.settings.get(key).and_then(|value| value.parse::<usize>().ok());
        let mut limits = Limits { redirects: 4, ..Limits::default() };
        if let Some(most) = number("sieve_max_actions").filter(|n| *n > 0) {
            limits.actions = most;
        }
        if let Some(most) = number("sieve_notify_max_notifications") {
            limits.notifications = most;
        }
        if let Some(most) = number("sieve_max_redirects") {
            limits.redirects = most;
        }
        if let Some(separator) = self.settings.get("recipient_delimiter").and_then(|s| s.chars().next()) {
            limits.subaddress = separator;
        }
        self.limits = limits;
    }

    fn verdict(&self, kind: &str) -> Option<Verdict> {
        let get = |name: &str| self.settings.get(&format!("sieve_{kind}test_{name}"));
        let header = |value: &String| {
            let (field, pattern) = value.split_once(':').unwrap_or((value, ""));
            let pattern = Some(pattern.trim()).filter(|p| !p.is_empty()).map(|p| Regex::new(p).unwrap());
            (field.trim().to_string(), pattern)
        };
        let (field, pattern) = header(get("status_header")?);
        let most = get("score_max_value").or(get("max_value")).and_then(|value| value.parse().ok());
        let form = match get("status_type").map_or("score", String::as_str) {
            "text" => {
                let word = |value: u8| Some((value, get(&format!("text_value/{value}"))?.clone()));
                Form::Words((0..=10).filter_map(word).collect())
            }
            "strlen" => Form::Length { most: most? },
            _ => match get("score_max_header").or(get("max_header")) {
                Some(other) => {
                    let (field, pattern) = header(other);
                    Form::ScoreOf { most: Box::new(Verdict { field, pattern, form: Form::default() }) }
                }
                None => Form::Score { most: most? },
            },
        };
        Some(Verdict { field, pattern, form })
    }
}

impl Environment for Suite {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn item(&self, name: &str) -> Option<String> {
        match name {
            "domain" => Some("example.com".into()),
            "host" => Some("host.example.com".into()),
            "location" => Some("MDA".into()),
            "phase" => Some("during".into()),
            "name" => Some("ExpressMail".into()),
            "version" => Some("0".into()),
            _ => None,
        }
    }

    fn has_mailbox(&mut self, name: &str) -> bool {
        self.folders.contains_key(name)
    }

    fn has_mailbox_id(&mut self, _: &str) -> bool {
        false
    }

    fn has_special_use(&mut self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn included(&mut self, location: Location, name: &str) -> Included {
        let folder = if location == Location::Global { "included-global" } else { "included" };
        let Ok(text) = std::fs::read(self.dir.join(folder).join(format!("{name}.sieve"))) else {
            return Included::Missing;
        };
        match compile(&text, &self.limits) {
            Ok(script) => Included::Script(Arc::new(script)),
            Err(error) => Included::Broken(error),
        }
    }

    fn was_seen(&mut self, _: &Seen) -> bool {
        false
    }

    fn spam_rules(&self) -> &SpamRules {
        &self.rules
    }

    fn suite(&mut self, call: &Call, run: &mut Run<'_>, message: &mut MessageView<'_>) -> bool {
        match call.name.as_str() {
            "test" => match &call.end {
                None => {
                    self.tests.push((call.text(0).to_string(), None));
                    self.is_inside = true;
                    self.errors.clear();
                }
                Some(error) => {
                    self.is_inside = false;
                    if let (Some(error), Some((_, failure))) = (error, self.tests.last_mut()) {
                        failure.get_or_insert(error.to_string());
                    }
                }
            },
            "test_fail" => {
                if let Some((_, failure)) = self.tests.last_mut().filter(|_| self.is_inside) {
                    *failure = Some(call.text(0).to_string());
                }
                return false;
            }
            "test_set" => self.set(call.text(0), call.text(1), message),
            "test_config_set" => {
                self.settings.insert(call.text(0).to_string(), call.text(1).to_string());
            }
            "test_config_unset" => {
                self.settings.remove(call.text(0));
            }
            "test_config_reload" => self.configure(),
            "test_result_reset" => {
                run.reset();
                self.outcome = None;
                self.sent.clear();
                *message = self.view();
            }
            "test_mailbox_create" => {
                self.folders.entry(call.text(0).to_string()).or_default();
            }
            "test_script_compile" => return self.compile(call.text(0)),
            "test_script_run" => return self.run_script(),
            "test_result_execute" => {
                return self.execute(run, message);
            }
            "test_message" => {
                let at: usize = call.text(0).parse().unwrap_or(0);
                let found = match call.tag("folder") {
                    Some(name) => {
                        let text = self.folders.get(&name[0]).and_then(|list| list.get(at)).cloned();
                        text.map(|text| (self.envelope.clone(), text))
                    }
                    None => self.sent.get(at).cloned(),
                };
                let Some((envelope, text)) = found else { return false };
                let text: &'static [u8] = Box::leak(text.into_boxed_slice());
                *message = MessageView::new(text, crate::dot::crlf_size(text), envelope);
            }
            _ => {}
        }
        true
    }

    fn suite_values(&mut self, call: &Call, run: &mut Run<'_>, message: &mut MessageView<'_>) -> Vec<String> {
        let all: Vec<String> = match call.name.as_str() {
            "test_error" => self.errors.clone(),
            _ => self.actions(run, message).iter().map(name).collect(),
        };
        match call.tag("index").and_then(|n| n[0].parse::<usize>().ok()) {
            Some(at) => all.into_iter().nth(at.saturating_sub(1)).into_iter().collect(),
            None => all,
        }
    }
}

/// A path as an envelope of ours would have it: what is none is nobody's.
fn path(text: &str) -> String {
    let bare = text.trim_start_matches('<').trim_end_matches('>');
    if !bare.contains('@') {
        return bare.to_string();
    }
    if !text.starts_with('<') {
        return crate::addr::Address::parse(text).map_or_else(
            |_| if text.contains('@') { String::new() } else { text.to_string() },
            |address| address.to_string(),
        );
    }
    match crate::addr::parse_path(text, "") {
        Ok(Some(address)) => address.to_string(),
        _ => String::new(),
    }
}

fn name(action: &Action) -> String {
    match action {
        Action::Store(store) if store.mailbox.is_some() => "store",
        Action::Store(_) => "keep",
        Action::Redirect(_) => "redirect",
        Action::Discard => "discard",
        Action::Reject(_) => "reject",
        Action::Vacation(_) => "vacation",
        Action::Notify(_) => "notify",
    }
    .to_string()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "svtest") {
            found.push(path);
        }
    }
}

/// Runs one file; what failed, by the name of the test. An empty name is the file as a whole.
fn run_file(file: &Path) -> (usize, Vec<(String, String)>) {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("${tst.path}", &file.parent().unwrap().to_string_lossy());
    let script = match compile(text.as_bytes(), &Limits::default()) {
        Ok(script) => script,
        Err(error) => return (0, vec![(String::new(), error.to_string())]),
    };
    let mut suite = Suite::new(file);
    let limits = Limits {
        steps: u64::MAX,
        actions: usize::MAX,
        redirects: 1000,
        notifications: 1000,
        variable_size: 4000,
        ..Limits::default()
    };
    let mut view = suite.view();
    let outcome = script.run(&mut view, &mut suite, &limits);
    let mut failed: Vec<(String, String)> =
        suite.tests.iter().filter_map(|(name, failure)| Some((name.clone(), failure.clone()?))).collect();
    failed.extend(outcome.error.map(|error| (String::new(), error.to_string())));
    (suite.tests.len(), failed)
}

#[test]
fn pigeonholes_suite_runs_as_listed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/sieve/pigeonhole");
    if !top.is_dir() {
        return println!("skipped: no {}", top.display());
    }
    let mut all = Vec::new();
    files(&top, &mut all);
    all.sort();
    let (mut tests, mut wrong, mut seen) = (0, Vec::new(), BTreeSet::new());
    for file in all {
        let short = file.strip_prefix(&top).unwrap().to_string_lossy().into_owned();
        let (count, failed) = run_file(&file);
        tests += count;
        for (test, failure) in failed {
            if !verdicts::is_listed(&short, &test) {
                wrong.push(format!("(\"{short}\", \"{test}\"): {failure}"));
            }
            seen.insert((short.clone(), test));
        }
    }
    for (file, test, _) in verdicts::KNOWN {
        if !seen.iter().any(|(f, t)| f == file && (t == test || *test == "*")) {
            wrong.push(format!("({file:?}, {test:?}) is listed, but passes"));
        }
    }
    println!("{tests} tests, {} fail as listed", seen.len() - wrong.len().min(seen.len()));
    assert!(wrong.is_empty(), "{} of {tests}\n{}", wrong.len(), wrong.join("\n"));
}
