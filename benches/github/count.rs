//! Requests of the service to the embedded GitHub in, counts by kind out. No I/O.

use std::collections::BTreeMap;

use bivouac::sandbox::github::{GitHub, RequestRecord};
use serde_json::{Value, json};

use crate::numbers::say;

/// How often each kind was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(BTreeMap<String, Tally>);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: usize,
    /// Answered 304: they cost nothing of the 5,000 an hour.
    unchanged: usize,
    points: usize,
}

/// A request as a kind: without names, numbers and queries.
fn kind(request: &RequestRecord) -> String {
    let path = request.path.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let is_hash = |part: &str| part.len() == 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = path.split('/').collect();
    let mut parts = parts.as_slice();
    let mut kind = String::new();
    if let ["", "repos", _, _, rest @ ..] = parts {
        kind.push('…');
        parts = rest;
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 || kind == "…" {
            kind.push('/');
        }
        kind.push_str(match *part {
            part if part.parse::<u64>().is_ok() => "N",
            part if is_hash(part) => "SHA",
            _ if index > 0 && parts[index - 1] == "collaborators" => "LOGIN",
            part => part,
        });
    }
    format!("{} {kind}", request.method)
}

/// Asked by sweep and healer on their schedule.
pub(crate) fn is_scheduled(kind: &str) -> bool {
    ["GET …", "GET …/pulls", "GET …/issues/comments", "GET /app/hook/deliveries"].contains(&kind)
}

/// GitHub's points of a request for its secondary limits.
fn points(method: &str) -> usize {
    if matches!(method, "GET" | "HEAD" | "OPTIONS") { 1 } else { 5 }
}

/// git is no part of the API: it has limits of its own.
fn is_git(request: &RequestRecord) -> bool {
    matches!(request.method.as_str(), "FETCH" | "GIT") || request.path.contains(".git/")
}

impl Count {
    /// What `user` asked since the forge's request number `first`.
    pub(crate) fn since(github: &GitHub, first: usize, user: &str) -> Self {
        let mut count = Self::default();
        let all = github.requests();
        // An App asks as itself for its tokens, and as its installation for all else.
        let ours = |request: &&RequestRecord| {
            request.user.as_deref().is_some_and(|who| who.trim_end_matches("[bot]") == user)
        };
        for request in all.iter().skip(first).filter(ours).filter(|request| !is_git(request)) {
            let tally = count.0.entry(kind(request)).or_default();
            tally.calls += 1;
            if request.status == 304 {
                tally.unchanged += 1;
            }
            tally.points += points(&request.method);
        }
        count
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.values().map(|tally| tally.calls).sum()
    }

    /// Those that count against the 5,000 an hour.
    pub(crate) fn counted(&self) -> usize {
        self.0.values().map(|tally| tally.calls - tally.unchanged).sum()
    }

    pub(crate) fn points(&self) -> usize {
        self.0.values().map(|tally| tally.points).sum()
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Without what sweep and healer ask on their schedule, whatever happens.
    pub(crate) fn caused(&self) -> usize {
        let caused = self.0.iter().filter(|(kind, _)| !is_scheduled(kind));
        caused.map(|(_, tally)| tally.calls).sum()
    }

    pub(crate) fn of(&self, kind: &str) -> usize {
        self.0.get(kind).map_or(0, |tally| tally.calls)
    }

    pub(crate) fn json(&self) -> Value {
        let kinds: BTreeMap<&String, Value> = self
            .0
            .iter()
            .map(|(kind, tally)| {
                (kind, json!({"calls": tally.calls, "unchanged": tally.unchanged}))
            })
            .collect();
        json!({
            "calls": self.calls(), "counted": self.counted(), "points": self.points(), "kinds": kinds,
        })
    }

    /// One line for each kind.
    pub(crate) fn lines(&self) {
        for (kind, tally) in &self.0 {
            say(&format!("  {:>6} ({:>5} of them 304)  {kind}", tally.calls, tally.unchanged));
        }
    }
}
