//! PURE · what chats and webhooks are told of a camp, and when. In: two states that follow one another; out: a notice, and
//! its body in the form that each receiver takes.
//!
//! The reason in a notice comes from repositories, clusters and logs: it is hidden what looks like a secret, and it stands
//! where a receiver reads plain text, never where it reads marks, mentions or links.

use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::plain::plain;
use super::redact::redact;
use super::status::bounded;

/// Characters of a reason.
const REASON: usize = 500;
/// Addresses in one notice.
const MOST_URLS: usize = 10;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// A commit runs.
    Ready,
    /// A commit does not run.
    Failed,
    /// The camp's end is near.
    Expiring,
    /// The camp is gone.
    Gone,
}

impl Moment {
    /// In a word, as a receiver of JSON has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Expiring => "expiring",
            Self::Gone => "gone",
        }
    }

    /// There is something that people can be led to.
    #[must_use]
    pub fn has_page(self) -> bool {
        matches!(self, Self::Ready | Self::Expiring)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Ready => "Preview is ready",
            Self::Failed => "Preview failed",
            Self::Expiring => "Preview ends soon",
            Self::Gone => "Preview is gone",
        }
    }
}

/// How it stands with a camp, as far as a notice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It runs.
    Ready,
    /// It does not, and somebody has to know.
    Failed,
    /// It is on its way to one of the others.
    OnItsWay,
    /// There is none any more, and there was one a moment ago.
    Ended,
    /// There is none.
    None,
}

/// What happened between two stands; `another_commit`: what runs is not what ran.
#[must_use]
pub fn moment(before: Stand, after: Stand, another_commit: bool) -> Option<Moment> {
    match (before, after) {
        (Stand::Ready, Stand::Ready) => another_commit.then_some(Moment::Ready),
        (_, Stand::Ready) => Some(Moment::Ready),
        (Stand::Failed, Stand::Failed) => another_commit.then_some(Moment::Failed),
        (_, Stand::Failed) => Some(Moment::Failed),
        (_, Stand::Ended) => Some(Moment::Gone),
        _ => None,
    }
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub moment: Moment,
    /// Owner and name.
    pub repository: String,
    /// Number of the pull request; `None` for a branch.
    pub number: Option<u64>,
    /// Name of the branch; `None` for a pull request.
    pub branch: Option<String>,
    /// Its page.
    pub page: String,
    /// The commit.
    pub revision: Option<String>,
    /// App and address.
    pub urls: Vec<(String, String)>,
    /// Why.
    pub reason: Option<String>,
    /// When the camp ends, if nothing happens.
    pub expires_at: Option<DateTime<Utc>>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Notice {
    fn about(&self) -> String {
        let repository = plain(&self.repository);
        match (self.number, &self.branch) {
            (Some(number), _) => format!("{repository}#{number}"),
            (None, branch) => {
                format!("{repository}, branch {}", plain(branch.as_deref().unwrap_or_default()))
            }
        }
    }

    fn short(&self) -> Option<&str> {
        self.revision.as_deref().and_then(|revision| revision.get(..7))
    }

    /// For people: never a line of its own, never a secret.
    fn reason(&self) -> Option<String> {
        let reason = self.reason.as_deref()?;
        let reason = bounded(&plain(&redact(&reason.replace(['\n', '\r', '\t'], " "))), REASON);
        (!reason.trim().is_empty()).then_some(reason)
    }

    fn urls(&self) -> impl Iterator<Item = (&str, &str)> {
        let safe = |url: &&(String, String)| is_address(&url.1);
        let urls = self.urls.iter().filter(safe).take(MOST_URLS);
        urls.map(|(app, url)| (app.as_str(), url.as_str()))
    }

    /// The line that a phone shows.
    fn line(&self) -> String {
        let at = self.short().map(|short| format!(" at {short}")).unwrap_or_default();
        format!("{}: {}{at}", self.moment.title(), self.about())
    }

    /// For an incoming webhook of Slack.
    #[must_use]
    pub fn slack(&self) -> String {
        let link = |url: &str, text: &str| format!("<{url}|{}>", slack_text(text));
        let about = self.about();
        let about =
            if is_address(&self.page) { link(&self.page, &about) } else { slack_text(&about) };
        let at = self.short().map(|short| format!(" at `{short}`")).unwrap_or_default();
        let mut text = format!("*{}*: {about}{at}", self.moment.title());
        if self.moment.has_page() {
            for (app, url) in self.urls() {
                let shown = if app.is_empty() { url } else { app };
                text.push('\n');
                text.push_str(&link(url, shown));
            }
        }
        let mut blocks = vec![json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})];
        if let Some(reason) = self.reason() {
            // Plain text: neither mention nor mark nor link is read in it.
            let text = json!({"type": "plain_text", "text": reason, "emoji": false});
            blocks.push(json!({"type": "section", "text": text}));
        }
        json!({"text": slack_text(&self.line()), "blocks": blocks}).to_string()
    }

    /// For a Teams workflow: a card whose texts are read as they stand.
    #[must_use]
    pub fn teams(&self) -> String {
        let run = |text: &str, weight: &str| json!({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, "weight": weight}]});
        let mut blocks = vec![run(&self.line(), "bolder")];
        blocks.extend(self.reason().map(|reason| run(&reason, "default")));
        let open =
            |title: &str, url: &str| json!({"type": "Action.OpenUrl", "title": title, "url": url});
        let mut actions = Vec::new();
        if self.moment.has_page() {
            let named = |app: &str| if app.is_empty() { "Preview".to_owned() } else { plain(app) };
            actions.extend(self.urls().map(|(app, url)| open(&named(app), url)));
        }
        if is_address(&self.page) {
            let page = if self.number.is_some() { "Pull request" } else { "Branches" };
            actions.push(open(page, &self.page));
        }
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": blocks,
                    "actions": actions,
                },
            }],
        })
        .to_string()
    }

    /// For everybody else.
    #[must_use]
    pub fn json(&self) -> String {
        let urls: Vec<Value> =
            self.urls().map(|(app, url)| json!({"app": app, "url": url})).collect();
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        json!({
            "version": 1,
            "event": self.moment.word(),
            "repository": self.repository,
            "pullRequest": self.number,
            "branch": self.branch,
            "page": self.page,
            "revision": self.revision,
            "urls": urls,
            "reason": self.reason(),
            "expiresAt": self.expires_at.map(time),
            "at": time(self.at),
        })
        .to_string()
    }
}

/// What may stand as a link: no character that ends one.
fn is_address(url: &str) -> bool {
    let fine =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '|' | '"' | '\'' | '\\' | '`');
    (url.starts_with("https://") || url.starts_with("http://")) && url.chars().all(fine)
}

/// Slack's marks begin with these three; in what is left, words between stars and the like are only shown otherwise.
fn slack_text(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `sha256=…` over the raw bytes, as GitHub signs its own.
#[must_use]
pub fn signature(secret: &[u8], body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(body);
    Some(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notice(moment: Moment, reason: Option<&str>) -> Notice {
        Notice {
            moment,
            repository: "acme/shop".into(),
            number: Some(7),
            branch: None,
            page: "https://github.com/acme/shop/pull/7".into(),
            revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
            urls: vec![("web".into(), "https://shop-pr-7.preview.example.com".into())],
            reason: reason.map(str::to_owned),
            expires_at: None,
            at: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
        }
    }

    #[test]
    fn it_is_told_when_something_turns_and_once() {
        use Stand::{Ended, Failed, None as Nothing, OnItsWay, Ready};
        for (before, after, another, expected) in [
            (Nothing, OnItsWay, false, None),
            (OnItsWay, Ready, false, Some(Moment::Ready)),
            (Ready, Ready, false, None),
            (Ready, Ready, true, Some(Moment::Ready)),
            (Ready, OnItsWay, true, None),
            (Ready, Failed, false, Some(Moment::Failed)),
            (Failed, Failed, false, None),
            (Failed, Failed, true, Some(Moment::Failed)),
            (Failed, Ready, false, Some(Moment::Ready)),
            (OnItsWay, Ended, false, Some(Moment::Gone)),
            (Ended, Nothing, false, None),
            (Nothing, Nothing, false, None),
        ] {
            assert_eq!(moment(before, after, another), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn each_receiver_gets_its_form() {
        let ready = notice(Moment::Ready, None);
        insta::assert_snapshot!(ready.slack(), @r##"{"blocks":[{"text":{"text":"*Preview is ready*: <https://github.com/acme/shop/pull/7|acme/shop#7> at `0123456`\n<https://shop-pr-7.preview.example.com|web>","type":"mrkdwn"},"type":"section"}],"text":"Preview is ready: acme/shop#7 at 0123456"}"##);
        insta::assert_snapshot!(ready.teams(), @r##"{"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","actions":[{"title":"web","type":"Action.OpenUrl","url":"https://shop-pr-7.preview.example.com"},{"title":"Pull request","type":"Action.OpenUrl","url":"https://github.com/acme/shop/pull/7"}],"body":[{"inlines":[{"text":"Preview is ready: acme/shop#7 at 0123456","type":"TextRun","weight":"bolder"}],"type":"RichTextBlock"}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive"}],"type":"message"}"##);
        let failed = notice(Moment::Failed, Some("web: password=hunter2\n<!channel>"));
        insta::assert_snapshot!(failed.json(), @r##"{"at":"2027-01-15T08:00:00Z","branch":null,"event":"failed","expiresAt":null,"page":"https://github.com/acme/shop/pull/7","pullRequest":7,"reason":"web: password=[hidden] <!channel>","repository":"acme/shop","revision":"0123456789abcdef0123456789abcdef01234567","urls":[{"app":"web","url":"https://shop-pr-7.preview.example.com"}],"version":1}"##);
    }

    #[test]
    fn who_is_told_of_an_end_can_go_and_look() {
        let mut notice = notice(Moment::Expiring, Some("its time is up on 2027-01-15 10:00 UTC"));
        notice.expires_at = DateTime::from_timestamp(1_800_007_200, 0);
        insta::assert_snapshot!(notice.slack(), @r##"{"blocks":[{"text":{"text":"*Preview ends soon*: <https://github.com/acme/shop/pull/7|acme/shop#7> at `0123456`\n<https://shop-pr-7.preview.example.com|web>","type":"mrkdwn"},"type":"section"},{"text":{"emoji":false,"text":"its time is up on 2027-01-15 10:00 UTC","type":"plain_text"},"type":"section"}],"text":"Preview ends soon: acme/shop#7 at 0123456"}"##);
        insta::assert_snapshot!(notice.json(), @r##"{"at":"2027-01-15T08:00:00Z","branch":null,"event":"expiring","expiresAt":"2027-01-15T10:00:00Z","page":"https://github.com/acme/shop/pull/7","pullRequest":7,"reason":"its time is up on 2027-01-15 10:00 UTC","repository":"acme/shop","revision":"0123456789abcdef0123456789abcdef01234567","urls":[{"app":"web","url":"https://shop-pr-7.preview.example.com"}],"version":1}"##);
    }

    #[test]
    fn the_signature_is_githubs_example() {
        assert_eq!(
            signature(b"It's a Secret to Everybody", b"Hello, World!").as_deref(),
            Some("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
        );
    }

    proptest! {
        /// Whatever a reason, a name or an address is: nothing of it is a mark where marks are read.
        #[test]
        fn nothing_from_outside_is_a_mark_or_a_mention(
            reason in "\\PC{0,80}|.*<!channel>.*|.*<@U123>.*|.*\\|.*",
            app in "\\PC{0,20}|<!here>",
            url in "\\PC{0,40}|https://x/<!here>|https://x\\|y",
        ) {
            let mut notice = notice(Moment::Ready, Some(&reason));
            notice.urls = vec![(app, url.clone())];
            let slack: Value = serde_json::from_str(&notice.slack()).expect("JSON");
            let marked = slack["blocks"][0]["text"]["text"].as_str().expect("a text");
            let links = marked.matches('<').count();
            prop_assert_eq!(links, marked.matches('>').count());
            prop_assert!(links <= 2, "{}", marked);
            prop_assert!(!marked.contains("<!") && !marked.contains("<@"), "{}", marked);
            if let Some(block) = slack["blocks"].get(1) {
                prop_assert_eq!(&block["text"]["type"], "plain_text");
            }
            let teams = notice.teams();
            prop_assert!(!teams.contains("TextBlock\"") || teams.contains("RichTextBlock"));
            if !is_address(&url) {
                prop_assert!(!teams.contains("\"title\":\"Preview\"") );
            }
        }
    }
}
