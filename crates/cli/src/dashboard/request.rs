//! What a request asks for, and what is refused. Pure.
//!
//! The server is on loopback and only reads, but a page of anybody's that is open in the same browser can send requests
//! there. It cannot read answers, since nothing here allows that (no CORS), unless its own name was made to lead
//! to this address (DNS rebinding); so the name that is asked for has to be one of loopback.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri, uri::Authority};
use percent_encoding::percent_decode_str;

/// The longest path with query that is looked at, in bytes.
const PATH_LIMIT: usize = 2048;

/// A file of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File {
    /// Its path.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What it holds.
    pub text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page.
pub const FILES: [File; 7] = [
    File { path: "/", media_type: "text/html; charset=utf-8", text: include_str!("page/index.html") },
    File { path: "/style.css", media_type: "text/css; charset=utf-8", text: include_str!("page/style.css") },
    File { path: "/icon.svg", media_type: "image/svg+xml", text: include_str!("page/icon.svg") },
    File { path: "/app.js", media_type: SCRIPT, text: include_str!("page/app.js") },
    File { path: "/parts.js", media_type: SCRIPT, text: include_str!("page/parts.js") },
    File { path: "/overview.js", media_type: SCRIPT, text: include_str!("page/overview.js") },
    File { path: "/closely.js", media_type: SCRIPT, text: include_str!("page/closely.js") },
];

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A file of the page.
    File(File),
    /// What the page shows.
    Dashboard(Option<Closely>),
}

/// What is to be shown closely. The names are as they were sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closely {
    /// The ways between two clusters.
    Link {
        /// The source cluster.
        from: String,
        /// The remote cluster.
        to: String,
    },
    /// A cluster.
    Cluster(String),
    /// A node.
    Node {
        /// Its cluster.
        cluster: String,
        /// Its name.
        node: String,
    },
}

/// Why a request is refused: the status, and words.
pub type Refusal = (StatusCode, &'static str);

/// What a request asks for.
///
/// # Errors
/// If it is refused.
pub fn asked(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Asked, Refusal> {
    if !names_loopback(uri, headers) {
        return Err((StatusCode::FORBIDDEN, "this server is called 127.0.0.1, localhost or [::1] only\n"));
    }
    if method != Method::GET && method != Method::HEAD {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here: GET and HEAD only\n"));
    }
    let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if length || headers.contains_key(TRANSFER_ENCODING) {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "requests have no body here\n"));
    }
    if uri.path().len() + uri.query().map_or(0, str::len) > PATH_LIMIT {
        return Err((StatusCode::URI_TOO_LONG, "the path is too long\n"));
    }
    if uri.path() == "/dashboard.json" {
        return closely(uri.query().unwrap_or_default()).map(Asked::Dashboard);
    }
    let file = FILES.iter().find(|file| file.path == uri.path());
    file.map(|file| Asked::File(*file)).ok_or((StatusCode::NOT_FOUND, "there is nothing here\n"))
}

/// Whether the host that is asked for is a name of loopback, on whatever port: that may be forwarded from elsewhere.
fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let is_loopback = |authority: &Authority| {
        ["127.0.0.1", "localhost", "[::1]"].contains(&authority.host()) && !authority.as_str().contains('@')
    };
    let stated = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    stated.is_some_and(|host| is_loopback(&host)) && uri.authority().is_none_or(is_loopback)
}

fn closely(query: &str) -> Result<Option<Closely>, Refusal> {
    const UNKNOWN: Refusal = (
        StatusCode::BAD_REQUEST,
        "ask for link=FROM/TO, cluster=NAME or node=CLUSTER/NAME, or for nothing\n",
    );
    if query.is_empty() {
        return Ok(None);
    }
    let (key, value) = query.split_once('=').ok_or(UNKNOWN)?;
    let text = |part: &str| {
        percent_decode_str(part).decode_utf8().map(|text| text.into_owned()).map_err(|_| UNKNOWN)
    };
    // The stroke between two names is never escaped, strokes in names are.
    let two = || match value.split_once('/') {
        Some((one, other)) => Ok((text(one)?, text(other)?)),
        None => Err(UNKNOWN),
    };
    Ok(Some(match key {
        "link" => two().map(|(from, to)| Closely::Link { from, to })?,
        "node" => two().map(|(cluster, node)| Closely::Node { cluster, node })?,
        "cluster" => Closely::Cluster(text(value)?),
        _ => return Err(UNKNOWN),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Asked, u16> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        asked(&parts.method, &parts.uri, &parts.headers).map_err(|(status, _)| status.as_u16())
    }

    fn get(uri: &str) -> Result<Asked, u16> {
        ask("GET", uri, &[("host", "127.0.0.1:1234")])
    }

    #[test]
    fn only_names_of_loopback_are_answered() {
        for host in ["127.0.0.1:1", "127.0.0.1", "localhost:8080", "[::1]:9"] {
            assert!(ask("GET", "/", &[("host", host)]).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "localhost.",
            "10.0.0.1",
            "",
            "a@localhost",
            "0.0.0.0",
        ] {
            assert_eq!(ask("GET", "/", &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(ask("GET", "/", &[]), Err(403));
        assert_eq!(ask("GET", "/", &[("host", "localhost"), ("host", "evil.example")]), Err(403));
        assert_eq!(ask("GET", "http://evil.example/", &[("host", "localhost")]), Err(403));
    }

    #[test]
    fn nothing_but_reading_is_served() {
        let host = ("host", "localhost");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"] {
            assert_eq!(ask(method, "/dashboard.json", &[host]), Err(405), "{method}");
        }
        assert!(ask("HEAD", "/", &[host]).is_ok());
        assert_eq!(ask("GET", "/", &[host, ("content-length", "5")]), Err(413));
        assert_eq!(ask("GET", "/", &[host, ("transfer-encoding", "chunked")]), Err(413));
        assert_eq!(get(&format!("/{}", "a".repeat(PATH_LIMIT))), Err(414));
        for path in ["/etc/passwd", "/../x", "//", "/index.html", "/dashboard.json/"] {
            assert_eq!(get(path), Err(404), "{path}");
        }
    }

    #[test]
    fn what_is_to_be_shown_closely_is_told_by_the_query() {
        let link = |from: &str, to: &str| Closely::Link { from: from.to_owned(), to: to.to_owned() };
        let node = Closely::Node { cluster: "a".to_owned(), node: "n.1".to_owned() };
        for (query, closely) in [
            ("", None),
            ("?", None),
            ("?link=a/b", Some(link("a", "b"))),
            ("?link=%3Cb%3E/x%2Fy", Some(link("<b>", "x/y"))),
            ("?cluster=a", Some(Closely::Cluster("a".to_owned()))),
            ("?node=a/n.1", Some(node)),
        ] {
            assert_eq!(get(&format!("/dashboard.json{query}")), Ok(Asked::Dashboard(closely)), "{query}");
        }
        for query in ["?x=1", "?link=a", "?link", "?link=%ff/b"] {
            assert_eq!(get(&format!("/dashboard.json{query}")), Err(400), "{query}");
        }
    }

    #[test]
    fn the_page_refers_to_nothing_but_its_own_files() {
        for file in FILES {
            for part in file.text.split(['"', '\'', '`', ' ']) {
                let foreign = part.contains("://") && !part.starts_with("http://www.w3.org/");
                assert!(!foreign, "{}: {part}", file.path);
            }
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=",
                "onclick=",
            ] {
                assert!(!file.text.contains(word), "{}: {word}", file.path);
            }
        }
    }
}
