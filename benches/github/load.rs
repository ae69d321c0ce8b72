//! Deliveries in, how long each took to be answered out: 64 connections that are kept open, at a given rate or as fast as
//! the answers come. I/O: TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bivouac::seams::{BoxError, Rng};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::time::Instant;

use crate::numbers::{Sample, float};

/// Connections.
pub(crate) const CONNECTIONS: usize = 64;
/// GitHub gives up after this.
const PATIENCE: Duration = Duration::from_secs(10);

/// One body, signed.
#[derive(Clone)]
pub(crate) struct Signed {
    event: &'static str,
    body: Bytes,
    signature: String,
}

impl Signed {
    pub(crate) fn new(event: &'static str, body: Bytes, secret: &str) -> Result<Self, BoxError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(&body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        Ok(Self { event, body, signature })
    }
}

/// What was sent, and how it went.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) took: Sample,
    /// Answered with another status than 202, or not at all.
    pub(crate) failed: usize,
    /// Answers in a second.
    pub(crate) rate: f64,
}

/// A connection of its own, which is kept.
fn connection() -> Result<reqwest::Client, BoxError> {
    let client = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(None)
        .timeout(PATIENCE)
        .build()?;
    Ok(client)
}

/// Sends `bodies`, one after the other and again from the beginning, for so long. With `rate`, so many in a second: an
/// answer that comes late delays what this connection sends next, and that counts from when it was to be sent. A timer
/// that wakes late does not count.
pub(crate) async fn send(
    url: &str,
    bodies: &Arc<Vec<Signed>>,
    rate: Option<u32>,
    length: Duration,
) -> Result<Heard, BoxError> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(connection()?);
    }
    // Connections are there before the first counts.
    for client in &connections {
        once(client, url, bodies.first().ok_or("nothing to send")?, "warm").await;
    }
    let began = Instant::now();
    let mut work: FuturesUnordered<_> = connections
        .into_iter()
        .enumerate()
        .map(|(index, client)| {
            let (url, bodies, next) = (url.to_owned(), bodies.clone(), next.clone());
            tokio::spawn(async move {
                let rng = Rng::system();
                let mut heard = Vec::new();
                let turn = rate.map(|rate| Duration::from_secs(1) / rate);
                for round in 0_usize.. {
                    let place = u32::try_from(index + round * CONNECTIONS);
                    let due = began + turn.unwrap_or_default() * place.unwrap_or(u32::MAX);
                    let now = Instant::now();
                    if now.max(due) >= began + length {
                        break;
                    }
                    let was_free = rate.is_none() || now <= due;
                    if rate.is_some() {
                        tokio::time::sleep_until(due).await;
                    }
                    let body = &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
                    let from = if was_free { Instant::now() } else { due };
                    let fine = once(&client, &url, body, &rng.uuid().to_string()).await;
                    heard.push((from.elapsed(), fine));
                }
                heard
            })
        })
        .collect();
    let mut found = Heard::default();
    while let Some(heard) = work.next().await {
        for (took, fine) in heard? {
            found.took.add(took);
            found.failed += usize::from(!fine);
        }
    }
    found.rate = float(found.took.count()) / began.elapsed().as_secs_f64();
    Ok(found)
}

async fn once(client: &reqwest::Client, url: &str, signed: &Signed, id: &str) -> bool {
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("x-github-event", signed.event)
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", &signed.signature)
        .body(signed.body.clone());
    match request.send().await {
        Ok(answer) => {
            let fine = answer.status() == 202;
            // Read to its end, so that the connection is free again.
            answer.bytes().await.is_ok() && fine
        }
        Err(_) => false,
    }
}
