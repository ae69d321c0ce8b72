//! A websocket that says back what it hears (RFC 6455): what a pod of the sandbox does with one. I/O: the connection that
//! has become one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::plain;
use crate::seams::{Body, body};

/// What the accepting side adds to the key, by the RFC.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of one frame; a longer one ends the connection.
const LONGEST: u64 = 1 << 20;

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Whether a request asks for a websocket.
pub(super) fn is_asked(method: &Method, headers: &HeaderMap) -> bool {
    let holds = |name, wanted: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
        })
    };
    *method == Method::GET && holds(UPGRADE, "websocket") && holds(CONNECTION, "upgrade")
}

/// Changes to one. It begins once the answer is on its way.
pub(super) fn answer<B>(mut request: Request<B>) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        return plain(StatusCode::BAD_REQUEST, "a websocket needs Sec-WebSocket-Key");
    };
    if request.headers().get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut answer = plain(StatusCode::UPGRADE_REQUIRED, "websockets are of version 13 here");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return answer;
    }
    let changed = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(stream) = changed.await {
            // The end of it, however it came.
            let _ = echo(TokioIo::new(stream)).await;
        }
    });
    let mut answer = Response::new(body(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat()))
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    loop {
        let [first, second] = [stream.read_u8().await?, stream.read_u8().await?];
        let length = match second & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        // A client that does not mask, or says too much, is cut off.
        if second & 0x80 == 0 || length > LONGEST {
            return Ok(());
        }
        let mut mask = [0; 4];
        stream.read_exact(&mut mask).await?;
        let mut content = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut content).await?;
        for (byte, mask) in content.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let code = first & 0x0f;
        let back = match code {
            PING => (first & 0xf0) | PONG,
            PONG => continue,
            _ => first,
        };
        let mut frame = vec![back];
        match (u8::try_from(content.len()), u16::try_from(content.len())) {
            (Ok(short), _) if short < 126 => frame.push(short),
            (_, Ok(middle)) => {
                frame.push(126);
                frame.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&content);
        stream.write_all(&frame).await?;
        stream.flush().await?;
        if code == CLOSE {
            return stream.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_rfc_has_it() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
    }

    #[tokio::test]
    async fn frames_come_back_unmasked_and_a_ping_as_a_pong() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        let served = tokio::spawn(echo(far));
        // "Hi" under the mask 1 2 3 4, then a ping, then the end.
        let sent = [&[0x81, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2][..], &[0x89, 0x80, 0, 0, 0, 0]];
        near.write_all(&sent.concat()).await.expect("sent");
        let mut heard = [0; 6];
        near.read_exact(&mut heard).await.expect("heard");
        assert_eq!(heard, [0x81, 2, b'H', b'i', 0x8a, 0]);
        near.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.expect("sent");
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.expect("the end");
        assert_eq!(rest, [0x88, 0]);
        served.await.expect("it ended").expect("well");
    }
}
