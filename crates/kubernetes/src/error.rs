//! What can go wrong with a request, in words that say what to do.

use std::fmt;

use kube_client::Error;
use kube_client::core::Status;

/// What is wrong with a watch. It goes on trying by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The server does not know the resource: its CustomResourceDefinition is not installed, or not in
    /// this version.
    NotServed(String),
    /// The identity may not read it.
    Forbidden(String),
    /// The identity is unknown or its credential has expired.
    Unauthorized(String),
    /// What answers there has a certificate of another authority, or one of another time.
    Untrusted(String),
    /// The server has no time for this client now (429 Too Many Requests).
    Throttled(String),
    /// The server answers that it cannot: it starts, or is busy, or lacks something itself.
    Failing(String),
    /// There is no connection.
    Unreachable(String),
}

impl Trouble {
    /// What an error of a request means.
    pub fn of(error: &Error) -> Trouble {
        match error {
            Error::Api(status) => Trouble::of_status(status),
            Error::Auth(error) => Trouble::Unauthorized(with_causes(error)),
            other => Trouble::of_connection(with_causes(other)),
        }
    }

    /// The library tells a certificate that is not trusted from a broken connection in words only.
    fn of_connection(text: String) -> Trouble {
        if text.contains("invalid peer certificate") {
            Trouble::Untrusted(text)
        } else {
            Trouble::Unreachable(text)
        }
    }

    pub(crate) fn of_status(status: &Status) -> Trouble {
        let message = status.message.clone();
        match status.code {
            404 => Trouble::NotServed(message),
            403 => Trouble::Forbidden(message),
            401 => Trouble::Unauthorized(message),
            429 => Trouble::Throttled(message),
            _ => Trouble::Failing(message),
        }
    }

    /// One word for what it is, whatever the message.
    pub fn class(&self) -> &'static str {
        match self {
            Trouble::NotServed(_) => "NotServed",
            Trouble::Forbidden(_) => "Forbidden",
            Trouble::Unauthorized(_) => "Unauthorized",
            Trouble::Untrusted(_) => "Untrusted",
            Trouble::Throttled(_) => "Throttled",
            Trouble::Failing(_) => "Failing",
            Trouble::Unreachable(_) => "Unreachable",
        }
    }

    /// Whether it hits whatever is asked of the server.
    pub fn is_of_everything(&self) -> bool {
        !matches!(self, Trouble::NotServed(_) | Trouble::Forbidden(_))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NotServed(message) => {
                write!(
                    f,
                    "not served by the API server ({message}); are the CustomResourceDefinitions installed, in this version?"
                )
            }
            Trouble::Forbidden(message) => {
                write!(f, "not allowed: {message}; apply the RBAC that is shipped")
            }
            Trouble::Unauthorized(message) => {
                write!(
                    f,
                    "the credential is not accepted ({message}); is it expired, or of another cluster, or is a clock wrong?"
                )
            }
            Trouble::Untrusted(message) => {
                write!(
                    f,
                    "the API server is not trusted ({message}); is it another one, was its certificate authority replaced (certificate-authority of the kubeconfig), or is a clock wrong?"
                )
            }
            Trouble::Throttled(message) => {
                write!(
                    f,
                    "the API server is too busy for this client ({message}); its FlowSchemas and PriorityLevelConfigurations say how much of it there is for whom"
                )
            }
            Trouble::Failing(message) => {
                write!(f, "the API server cannot answer: {message}; look at its own log if that lasts")
            }
            Trouble::Unreachable(message) => {
                write!(
                    f,
                    "the API server is not reached: {message}; is it running, and are its address and the way there right?"
                )
            }
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct RequestError {
    what: String,
    cause: Cause,
}

#[derive(Clone, Debug, thiserror::Error)]
enum Cause {
    #[error("refused as invalid: {0}{hint}", hint = hint(.0))]
    Invalid(String),
    #[error("not there: {0}")]
    NotFound(String),
    #[error("changed meanwhile: {0}")]
    Conflict(String),
    #[error("not a whole object")]
    Incomplete,
    #[error("it, or its namespace, is being deleted; it is made anew when it is gone")]
    Going,
    #[error("the Lease is not held any more")]
    NotHeld,
    #[error("{0}")]
    Trouble(Trouble),
}

impl RequestError {
    /// The error of doing `what`, such as `apply NodeConfig a/n1`.
    pub fn new(what: impl Into<String>, error: &Error) -> RequestError {
        let cause = match error {
            Error::Api(status) => match status.code {
                404 => Cause::NotFound(status.message.clone()),
                409 => Cause::Conflict(status.message.clone()),
                403 if status.message.contains("because it is being terminated") => Cause::Going,
                400 | 422 => Cause::Invalid(status.message.clone()),
                // What server-side apply says of a field that an older definition does not have.
                500 if status.message.contains("field not declared in schema") => {
                    Cause::Invalid(status.message.clone())
                }
                _ => Cause::Trouble(Trouble::of_status(status)),
            },
            other => Cause::Trouble(Trouble::of(other)),
        };
        RequestError { what: what.into(), cause }
    }

    /// The error of `what`, which does not say which object it is.
    pub(crate) fn incomplete(what: impl Into<String>) -> RequestError {
        RequestError { what: what.into(), cause: Cause::Incomplete }
    }

    /// The error of doing `what` to an object that somebody has deleted, and that is still there.
    pub(crate) fn going(what: impl Into<String>) -> RequestError {
        RequestError { what: what.into(), cause: Cause::Going }
    }

    /// The error of doing `what` without the Lease under which it may be done.
    pub(crate) fn not_held(what: impl Into<String>) -> RequestError {
        RequestError { what: what.into(), cause: Cause::NotHeld }
    }

    /// One word for why, whatever the message: what hits everything has the word that a watch has for it.
    pub fn class(&self) -> &'static str {
        match &self.cause {
            Cause::Invalid(_) => "Invalid",
            Cause::NotFound(_) => "NotFound",
            Cause::Conflict(_) => "Conflict",
            Cause::Incomplete => "Incomplete",
            Cause::Going => "Going",
            Cause::NotHeld => "NotHeld",
            Cause::Trouble(trouble) => trouble.class(),
        }
    }

    /// What was tried, without the name of the object, as `apply NodeConfig`; nothing where the cause hits
    /// whatever is tried.
    pub(crate) fn sort(&self) -> Option<String> {
        match &self.cause {
            Cause::Trouble(trouble) if trouble.is_of_everything() => None,
            _ => Some(self.what.rsplit_once(' ').map_or(self.what.as_str(), |(sort, _)| sort).to_owned()),
        }
    }

    /// Whether something that it names, such as the namespace, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound(_))
    }

    /// Whether whoever asked may not do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.cause, Cause::Trouble(Trouble::Forbidden(_)))
    }

    /// Whether the server will refuse the same again.
    pub fn is_invalid(&self) -> bool {
        matches!(self.cause, Cause::Invalid(_))
    }

    /// Whether somebody else changed the object meanwhile.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::Conflict(_))
    }
}

/// What to do about a request that is refused as invalid, where that is known.
fn hint(message: &str) -> &'static str {
    if message.contains("field not declared in schema") {
        "; are the CustomResourceDefinitions of an older version? Apply those that are shipped with this program"
    } else {
        ""
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
