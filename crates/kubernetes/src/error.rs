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
    /// Anything that passes: no connection, a server that starts or is busy.
    Unreachable(String),
}

impl Trouble {
    /// What an error of a request means.
    pub fn of(error: &Error) -> Trouble {
        match error {
            Error::Api(status) => Trouble::of_status(status),
            other => Trouble::Unreachable(with_causes(other)),
        }
    }

    pub(crate) fn of_status(status: &Status) -> Trouble {
        let message = status.message.clone();
        match status.code {
            404 => Trouble::NotServed(message),
            403 => Trouble::Forbidden(message),
            401 => Trouble::Unauthorized(message),
            _ => Trouble::Unreachable(message),
        }
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
            Trouble::Unreachable(message) => write!(f, "{message}"),
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct RequestError {
    what: String,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("refused as invalid: {0}")]
    Invalid(String),
    #[error("not there: {0}")]
    NotFound(String),
    #[error("changed meanwhile: {0}")]
    Conflict(String),
    #[error("not a whole object")]
    Incomplete,
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
                400 | 422 => Cause::Invalid(status.message.clone()),
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

    /// Whether something that it names, such as the namespace, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound(_))
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
