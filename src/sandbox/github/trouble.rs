//! Answers that go wrong: refusals with and without headers, a proxy's page, answers that never come or break off.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::call::Reply;
use super::model::Time;
use super::refusal::Refusal;
use super::server::{Answer, finish};
use crate::seams::{BoxError, body};

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered so, in GitHub's words; 403 and 429 speak of a secondary limit and ask to wait 60 seconds. Nothing is done.
    Status(u16),
    /// Answered so, with no word and none of GitHub's headers. Nothing is done.
    Mute(u16),
    /// A secondary limit: this status, and this `Retry-After`. Nothing is done.
    Limited(u16, RetryAfter),
    /// The primary limit: 403, nothing remains, and the hour begins anew after this time. Nothing is done.
    Spent(Duration),
    /// The page of a proxy that found nobody behind it. Nothing is done.
    Page(u16),
    /// No answer ever. Nothing is done.
    Hang,
    /// What was asked is done, and no answer ever comes.
    HangAfter,
    /// What was asked is done, and the connection ends in the middle of the answer.
    Cut,
    /// What was asked is done, and the answer ends early as if it were whole.
    Short,
}

/// The two forms of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// A date, so many seconds from now.
    Date(u64),
}

impl Fault {
    /// Whether the request is worked on all the same.
    pub(super) fn is_after(&self) -> bool {
        matches!(self, Self::HangAfter | Self::Cut | Self::Short)
    }

    /// What the list of requests says of it; `None`: what was done.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status)
            | Self::Mute(status)
            | Self::Limited(status, _)
            | Self::Page(status) => Some(*status),
            Self::Spent(_) => Some(403),
            // As a proxy would say to itself.
            Self::Hang => Some(504),
            Self::HangAfter | Self::Cut | Self::Short => None,
        }
    }

    /// The answer, when nothing is done.
    pub(super) fn answer(&self, now: Time) -> Answer {
        match self {
            Self::Status(status) => finish(refused(*status)),
            Self::Mute(status) => mute(*status),
            Self::Limited(status, after) => {
                let mut reply = Reply::refused(&Refusal::new(*status, SECONDARY));
                let after = match after {
                    RetryAfter::Seconds(seconds) => seconds.to_string(),
                    RetryAfter::Date(seconds) => {
                        let seconds = i64::try_from(*seconds).unwrap_or_default();
                        let date = now + chrono::TimeDelta::seconds(seconds);
                        date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
                    }
                };
                reply.headers.push(("retry-after", after));
                finish(reply)
            }
            Self::Spent(left) => {
                let words = "API rate limit exceeded for installation ID 1.";
                let mut reply = Reply::refused(&Refusal::forbidden(words));
                let left = chrono::TimeDelta::from_std(*left).unwrap_or_default();
                let reset = (now + left).timestamp().to_string();
                reply.headers.extend([
                    ("x-ratelimit-limit", "5000".to_owned()),
                    ("x-ratelimit-remaining", "0".to_owned()),
                    ("x-ratelimit-used", "5000".to_owned()),
                    ("x-ratelimit-reset", reset),
                    ("x-ratelimit-resource", "core".to_owned()),
                ]);
                finish(reply)
            }
            Self::Page(status) => page(*status),
            Self::Hang | Self::HangAfter | Self::Cut | Self::Short => mute(504),
        }
    }

    /// What becomes of a good answer on its way.
    pub(super) async fn spoil(&self, answer: Answer) -> Answer {
        match self {
            Self::Hang | Self::HangAfter => std::future::pending().await,
            Self::Cut | Self::Short => {
                let (parts, content) = answer.into_parts();
                let whole = content.collect().await.map(http_body_util::Collected::to_bytes);
                let whole = whole.unwrap_or_default();
                let half = whole.slice(..whole.len() / 2);
                let content = if *self == Self::Short { body(half) } else { broken(half) };
                Response::from_parts(parts, content)
            }
            _ => answer,
        }
    }
}

const SECONDARY: &str =
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";

/// What a forge says when it is struck by `status`.
fn refused(status: u16) -> Reply {
    let words = match status {
        401 => "Bad credentials",
        403 | 429 => SECONDARY,
        404 => "Not Found",
        409 => "Conflict",
        422 => "Validation Failed",
        500 => "Server Error",
        502 => "Bad Gateway",
        503 => {
            "No server is currently available to service your request. Sorry about that. Please try resubmitting your request and contact us if the problem persists."
        }
        504 => {
            "We couldn't respond to your request in time. Sorry about that. Please try resubmitting your request and contact us if the problem persists."
        }
        _ => "fault injected by the sandbox",
    };
    let mut reply = Reply::refused(&Refusal::new(status, words));
    if matches!(status, 403 | 429) {
        reply.headers.push(("retry-after", "60".to_owned()));
    }
    reply
}

fn mute(status: u16) -> Answer {
    let mut answer = Response::new(body(Bytes::new()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

fn page(status: u16) -> Answer {
    let text = "<!DOCTYPE html>\n<html>\n  <head><title>Unicorn! &middot; GitHub</title></head>\n  <body><p><strong>We had issues producing the response to your request.</strong></p></body>\n</html>\n";
    let mut answer = mute(status);
    *answer.body_mut() = body(text);
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A body that ends with an error.
fn broken(half: Bytes) -> crate::seams::Body {
    let frames = futures::stream::iter([half]).map(|half| Ok::<_, Infallible>(Frame::data(half)));
    let frames = frames.map(|frame| frame.map_err(|never| match never {}));
    let end = futures::stream::iter([Err(BoxError::from("the connection was closed"))]);
    StreamBody::new(frames.chain(end)).boxed_unsync()
}
