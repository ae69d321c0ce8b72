//! PURE · a [`CommentView`] as the templates see it: every field always there, words ready, lengths capped.

use serde::Serialize;

use super::{Changes, CommentView, Commit, Finding, LogTail, Objects, Phase, Problem, words};

/// How much of each kind is shown. Later ones are tried when the text is still too long.
#[derive(Clone, Copy)]
pub(super) struct Caps {
    why: usize,
    log_lines: usize,
    findings: usize,
    apps: usize,
    text: usize,
}

impl Caps {
    /// The defined order: the rules asked go first, then the logs shrink, then findings, then addresses and texts.
    /// The last one is far below the limit for any input.
    pub(super) const IN_ORDER: [Self; 5] = [
        Self { why: 60, log_lines: 40, findings: 100, apps: 100, text: 1000 },
        Self { why: 0, log_lines: 40, findings: 100, apps: 100, text: 1000 },
        Self { why: 0, log_lines: 10, findings: 100, apps: 100, text: 500 },
        Self { why: 0, log_lines: 10, findings: 20, apps: 40, text: 300 },
        Self { why: 0, log_lines: 0, findings: 5, apps: 10, text: 200 },
    ];

    fn text(self, text: &str) -> String {
        shorten(text, self.text)
    }
}

/// At most `most` characters; a dot for each end that is cut.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[derive(Serialize)]
pub(super) struct Context {
    instance: String,
    environment: String,
    commit: Option<CommitContext>,
    merged_with: Option<CommitContext>,
    running: Option<String>,
    apps: Vec<AppContext>,
    apps_left: Option<usize>,
    expires: Option<String>,
    ending: Option<String>,
    renewable: bool,
    took: Option<String>,
    rendered_from: Vec<PathContext>,
    changes: Option<ChangesContext>,
    notes: Vec<NoteContext>,
    why: Option<String>,
    reason: Option<String>,
    hint: Option<String>,
    incident: Option<String>,
    log: Option<LogContext>,
    overdue: Option<String>,
    problems: Vec<ProblemContext>,
    problems_left: Option<usize>,
    findings: Vec<FindingContext>,
    findings_left: Option<usize>,
    approve: Option<String>,
    /// Commands, as they are written here.
    up: String,
    wake: String,
    extend: String,
    approval: Option<String>,
    at: Option<String>,
    lived: Option<String>,
    revisions: Option<String>,
    last_url: Option<String>,
}

#[derive(Serialize)]
struct CommitContext {
    short: String,
    url: String,
}

#[derive(Serialize)]
struct AppContext {
    app: String,
    url: String,
}

#[derive(Serialize)]
struct PathContext {
    path: String,
    guessed: bool,
}

#[derive(Serialize)]
struct NoteContext {
    text: String,
}

#[derive(Serialize)]
struct ChangesContext {
    since: CommitContext,
    /// One for each thing that happened to objects.
    lines: Vec<ChangeContext>,
}

#[derive(Serialize)]
struct ChangeContext {
    /// Words of ours.
    change: &'static str,
    objects: Vec<String>,
    objects_left: Option<usize>,
}

#[derive(Serialize)]
struct LogContext {
    of: String,
    text: String,
}

#[derive(Serialize)]
struct ProblemContext {
    text: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct FindingContext {
    rule: String,
    place: Option<String>,
    message: String,
    hint: Option<String>,
}

impl Context {
    pub(super) fn new(view: &CommentView, caps: Caps) -> Self {
        let CommentView {
            instance,
            namespace: _,
            environment,
            prefix,
            revision,
            merged_with,
            phase,
            apps,
            expires_at,
            ending,
            took,
            rendered_from,
            changes,
            notes,
            log_of_end,
            why,
        } = view;
        let commit = |commit: &Commit| CommitContext {
            short: commit.revision.short().to_owned(),
            url: caps.text(&commit.url),
        };
        let mut context = Self {
            instance: caps.text(instance),
            environment: caps.text(environment),
            commit: revision.as_ref().map(commit),
            merged_with: merged_with.as_ref().map(commit),
            running: None,
            apps: apps
                .iter()
                .take(caps.apps)
                .map(|app| AppContext { app: caps.text(&app.app), url: caps.text(&app.url) })
                .collect(),
            apps_left: left(apps.len(), caps.apps),
            expires: expires_at.map(words::time),
            ending: ending.map(|ending| words::time(ending.at)),
            renewable: ending.is_some_and(|ending| ending.renewable),
            took: took
                .filter(|_| matches!(phase, Phase::Ready | Phase::Degraded { .. }))
                .map(words::duration),
            rendered_from: rendered_from
                .iter()
                .take(10)
                .map(|from| PathContext { path: caps.text(&from.path), guessed: from.guessed })
                .collect(),
            changes: changes.as_ref().map(|changes| ChangesContext::new(changes, caps)),
            notes: notes
                .iter()
                .take(caps.findings.min(20))
                .map(|text| NoteContext { text: caps.text(text) })
                .collect(),
            why: lines(why.iter().take(caps.why), caps),
            reason: None,
            hint: None,
            incident: None,
            log: log_of_end.as_ref().and_then(|log| LogContext::new(log, caps)),
            overdue: None,
            problems: Vec::new(),
            problems_left: None,
            findings: Vec::new(),
            findings_left: None,
            approve: None,
            up: format!("{prefix} up"),
            wake: format!("{prefix} wake"),
            extend: format!("{prefix} extend 24h"),
            approval: None,
            at: None,
            lived: None,
            revisions: None,
            last_url: None,
        };
        context.of_phase(view, phase, caps);
        context
    }

    fn of_phase(&mut self, view: &CommentView, phase: &Phase, caps: Caps) {
        match phase {
            Phase::AwaitingApproval { reason, base } => {
                let short = view.revision.as_ref().map(|head| head.revision.short());
                self.approval = short.map(|short| format!("{} approve {short}", view.prefix));
                self.reason = Some(caps.text(reason));
                self.approve = view
                    .revision
                    .as_ref()
                    .map(|head| approve(view, head.revision.as_str(), base.as_str()));
            }
            Phase::NotEligible { reason }
            | Phase::Forbidden { reason }
            | Phase::Queued { reason }
            | Phase::Asleep { reason }
            | Phase::Working { stage: reason } => self.reason = Some(caps.text(reason)),
            Phase::Conflict { reason, running } => {
                self.reason = Some(caps.text(reason));
                self.running = running.as_ref().map(|running| running.short().to_owned());
            }
            Phase::Degraded { overdue, problems, log } => {
                let most = caps.findings.min(20);
                self.overdue = overdue.as_deref().map(|deadline| caps.text(deadline));
                self.problems = problems
                    .iter()
                    .take(most)
                    .map(|Problem { text, hint }| ProblemContext {
                        text: caps.text(text),
                        hint: hint.as_deref().map(|hint| caps.text(hint)),
                    })
                    .collect();
                self.problems_left = left(problems.len(), most);
                self.log = log.as_ref().and_then(|log| LogContext::new(log, caps));
            }
            Phase::Refused { findings } => {
                self.findings = findings
                    .iter()
                    .take(caps.findings)
                    .map(|finding| FindingContext::new(finding, caps))
                    .collect();
                self.findings_left = left(findings.len(), caps.findings);
            }
            Phase::Failed { reason, hint, log, incident } => {
                self.reason = Some(caps.text(reason));
                self.hint = hint.as_deref().map(|hint| caps.text(hint));
                self.log = log.as_ref().and_then(|log| LogContext::new(log, caps));
                self.incident = incident.as_deref().map(|id| caps.text(id));
            }
            Phase::Expired { at } => self.at = Some(words::time(*at)),
            Phase::Closing { blocked_by } => {
                self.reason = blocked_by.as_deref().map(|what| caps.text(what));
            }
            Phase::Closed { lived, revisions, last_url } => {
                self.lived = lived.map(words::duration);
                self.revisions = Some(match revisions {
                    1 => "1 revision".to_owned(),
                    n => format!("{n} revisions"),
                });
                self.last_url = last_url.as_deref().map(|url| caps.text(url));
            }
            Phase::Down | Phase::Ready => {}
        }
    }
}

impl ChangesContext {
    fn new(changes: &Changes, caps: Caps) -> Self {
        let Changes { since, added, changed, removed } = changes;
        let most = caps.findings.min(10);
        let line = |change, objects: &Objects| ChangeContext {
            change,
            objects: objects.named.iter().take(most).map(|name| caps.text(name)).collect(),
            objects_left: left(objects.count, objects.named.len().min(most)),
        };
        let all = [("added", added), ("changed", changed), ("removed", removed)];
        let lines = all.into_iter().filter(|(_, objects)| objects.count > 0);
        Self {
            since: CommitContext {
                short: since.revision.short().to_owned(),
                url: caps.text(&since.url),
            },
            lines: lines.map(|(change, objects)| line(change, objects)).collect(),
        }
    }
}

impl LogContext {
    fn new(log: &LogTail, caps: Caps) -> Option<Self> {
        let skip = log.lines.len().saturating_sub(caps.log_lines);
        let text = lines(log.lines.iter().skip(skip), caps)?;
        Some(Self { of: caps.text(&log.of), text })
    }
}

impl FindingContext {
    fn new(finding: &Finding, caps: Caps) -> Self {
        let Finding { rule, file, line, message, hint } = finding;
        Self {
            rule: caps.text(rule),
            place: file.as_deref().map(|file| match line {
                Some(line) => format!("{}:{line}", caps.text(file)),
                None => caps.text(file),
            }),
            message: caps.text(message),
            hint: hint.as_deref().map(|hint| caps.text(hint)),
        }
    }
}

fn left(all: usize, cap: usize) -> Option<usize> {
    all.checked_sub(cap).filter(|left| *left > 0)
}

fn lines<'a>(lines: impl Iterator<Item = &'a String>, caps: Caps) -> Option<String> {
    let all: Vec<String> = lines.map(|line| caps.text(line)).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// The command that gives the yes, for exactly these two commits. The shell fills in who and when.
fn approve(view: &CommentView, head: &str, base: &str) -> String {
    format!(
        "kubectl -n {} patch env {} --type=merge -p '{{\"spec\":{{\"approved\":{{\"revision\":\"{head}\",\
         \"base\":\"{base}\",\"by\":\"'\"${{USER:-me}}\"'\",\"at\":\"'\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"'\"}}}}}}'",
        shell(&view.namespace),
        shell(&view.environment),
    )
}

/// One word for a shell.
fn shell(text: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(fine) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
