//! What the API server's own records say of who wrote what.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::server::Server;

/// What a token is called in the API server's records.
///
/// # Panics
/// If it is no token of an account.
pub fn credential(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("a token has claims");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    format!("JTI={}", claims["jti"].as_str().expect("a token has a name"))
}

/// What was written with these credentials, as `VERB RESOURCE SUBRESOURCE NAME` for each request; Leases apart.
pub fn writes_with(server: &Server, credentials: &[String]) -> Vec<String> {
    let own = |event: &&Value| {
        event["user"]["extra"]["authentication.kubernetes.io/credential-id"]
            .as_array()
            .is_some_and(|all| credentials.iter().any(|own| all.contains(&json!(own))))
    };
    let text =
        |event: &Value, at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let writes = |event: &&Value| {
        let verb = text(event, "/verb");
        !["get", "list", "watch"].contains(&verb.as_str())
            && text(event, "/objectRef/resource") != "leases"
            && !text(event, "/requestURI").contains("dryRun=All")
    };
    let said = |event: &Value| {
        ["/verb", "/objectRef/resource", "/objectRef/subresource", "/objectRef/name"]
            .map(|at| text(event, at))
            .join(" ")
    };
    server.audit().iter().filter(own).filter(writes).map(said).collect()
}
