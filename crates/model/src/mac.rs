//! MAC addresses of tunnel devices.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit MAC address, written `02:c5:c6:12:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The MAC of the VTEP with this IPv4 overlay address: `02:c5` and the four bytes of the
    /// address. Locally administered (RFC 7042 §2.1), so it meets no vendor's; derived on each node
    /// alike, so it is never distributed.
    pub fn of_vtep(overlay: Ipv4Addr) -> Mac {
        let [a, b, c, d] = overlay.octets();
        Mac([0x02, 0xc5, a, b, c, d])
    }

    /// The overlay address of the VTEP with this MAC; `None` if it is no VTEP's.
    pub fn overlay(self) -> Option<Ipv4Addr> {
        let [0x02, 0xc5, a, b, c, d] = self.0 else { return None };
        Some(Ipv4Addr::new(a, b, c, d))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits joined by colons.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not a MAC address; write six pairs of hexadecimal digits, for example 02:c5:c6:12:00:01")]
pub struct InvalidMac(String);

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Mac(bytes))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_follows_from_the_overlay_address() {
        let mac = Mac::of_vtep(Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(mac.to_string(), "02:c5:c6:12:00:01");
        assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
        for bad in ["", "02:c5:c6:12:00", "02:c5:c6:12:00:01:02", "2:c5:c6:12:00:01", "02:c5:c6:12:00:zz"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
