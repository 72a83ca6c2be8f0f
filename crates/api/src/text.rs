//! CIDRs and addresses as objects write them. Any text is kept; the schema lets an API server refuse
//! what is none, and conversion judges each value by itself.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use causeway_model::Prefix;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $from:ty, $schema:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl From<$from> for $name {
            fn from(value: $from) -> Self {
                $name(value.to_string())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

text!(
    /// An IPv4 or IPv6 prefix without host bits, for example `10.1.0.0/16` or `fd00:1::/64`.
    Cidr,
    Prefix,
    json_schema!({
        "description": "An IPv4 or IPv6 prefix without host bits, for example 10.1.0.0/16 or fd00:1::/64.",
        "type": "string",
        "maxLength": 43,
        "x-kubernetes-validations": [
            {
                "rule": "isCIDR(self)",
                "message": "must be ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64",
            },
            {
                "rule": "!isCIDR(self) || cidr(self) == cidr(self).masked()",
                "message": "must have no host bits set behind the prefix length",
            },
        ],
    })
);

text!(
    /// An IPv4 or IPv6 address, for example `192.0.2.1` or `2001:db8::1`.
    Ip,
    IpAddr,
    json_schema!({
        "description": "An IPv4 or IPv6 address, for example 192.0.2.1 or 2001:db8::1.",
        "type": "string",
        "maxLength": 39,
        "x-kubernetes-validations": [
            {"rule": "isIP(self)", "message": "must be an IPv4 or IPv6 address, for example 192.0.2.1 or 2001:db8::1"},
        ],
    })
);
