//! The HTTP server: loopback, reading only, everything bounded.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::request::{Asked, asked};
use super::state::State;

/// Connections at a time; more are closed at once.
pub const CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection lasts; a client that wants more makes another.
const CONNECTION: Duration = Duration::from_secs(300);
/// How long the last answer of a connection may take.
const LAST: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// Header fields of a request at most.
const FIELDS: usize = 64;

/// What every answer says: nothing from elsewhere is loaded, nothing inline runs, nobody frames the page or keeps a copy.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
];

/// When the source was last read whole, also where the answer is that nothing has changed.
const AS_OF: &str = "causeway-as-of";

/// Answers connections of `listener` until it is dropped.
///
/// # Errors
/// If no connection can be taken any more.
pub async fn serve(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // A client that is gone already, or too many open files: neither is for good.
            Err(_) => {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let state = state.clone();
        tokio::spawn(async move {
            connection(stream, state).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_LIMIT)
            .max_headers(FIELDS)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a connection ends is the client's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(CONNECTION) => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(LAST, connection).await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, state: &State) -> Answer {
    let mut answer = match asked(request.method(), request.uri(), request.headers()) {
        Ok(Asked::File(file)) => {
            of(StatusCode::OK, file.media_type, Bytes::from_static(file.text.as_bytes()))
        }
        Ok(Asked::Dashboard(closely)) => match state.dashboard(closely).await {
            Ok(told) => dashboard(&request, told),
            Err(error) => {
                let text = format!("{error}\n");
                of(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", Bytes::from(text))
            }
        },
        Err((status, words)) => of(status, "text/plain; charset=utf-8", Bytes::from_static(words.as_bytes())),
    };
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn of(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// What the page shows, as JSON.
#[derive(Clone)]
pub struct Told {
    /// The text.
    pub json: Bytes,
    /// Stands for all of it but the time.
    pub tag: String,
    /// When the source was last read whole.
    pub as_of: String,
}

fn dashboard(request: &Request<Incoming>, told: Told) -> Answer {
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == told.tag.as_str());
    let mut answer = if known {
        of(StatusCode::NOT_MODIFIED, "application/json", Bytes::new())
    } else {
        of(StatusCode::OK, "application/json", told.json)
    };
    for (name, value) in [(ETAG, told.tag), (HeaderName::from_static(AS_OF), told.as_of)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// An entity tag for what is written to it. Weak: the time of an answer is no part of it.
#[derive(Default)]
pub struct Tag(DefaultHasher);

impl Tag {
    /// The tag.
    pub fn text(&self) -> String {
        format!("W/\"{:016x}\"", self.0.finish())
    }
}

impl io::Write for Tag {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
