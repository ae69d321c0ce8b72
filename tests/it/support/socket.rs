//! A websocket client, as small as a story needs it: short texts, whole frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A websocket over any connection.
pub(crate) struct Socket<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Shakes hands; the status when that is not what came of it.
    pub(crate) async fn open(mut stream: S, host: &str) -> Result<Self, String> {
        let key = STANDARD.encode([7; 16]);
        let request = format!(
            "GET /live HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(|error| error.to_string())?);
        }
        let head = String::from_utf8(head).map_err(|error| error.to_string())?;
        let fine = head.starts_with("HTTP/1.1 101 ")
            && head.to_ascii_lowercase().contains("sec-websocket-accept: ");
        if fine { Ok(Self(stream)) } else { Err(head) }
    }

    /// Says something, and gives what comes back.
    pub(crate) async fn echo(&mut self, text: &str) -> std::io::Result<String> {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 126, "a short text");
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await?;
        let mut head = [0; 2];
        self.0.read_exact(&mut head).await?;
        let mut content = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut content).await?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}
