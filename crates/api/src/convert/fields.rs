//! Judging single values, and remembering what was wrong with them.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;

use causeway_model::{
    ClusterName, DualStack, Families, Family, Finding, OverlayAddresses, Prefix, Reason, Subject,
    Translation, Tunnel, UdpPort, Vni,
};

use crate::{Choice, Choices, Cidr, GlobalCidr, Ip, ObjectRef, TunnelNumbers};

/// What an object came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversion<T> {
    /// What could be used.
    pub value: T,
    /// What could not.
    pub errors: Vec<FieldError>,
}

impl<T> Conversion<T> {
    /// The errors as findings on `subject`.
    pub fn findings(&self, subject: &Subject) -> Vec<Finding> {
        self.errors
            .iter()
            .map(|error| Finding {
                subject: subject.clone(),
                field: error.field.clone(),
                reason: Reason::InvalidValue,
                message: error.message.clone(),
            })
            .collect()
    }
}

/// A value that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{object}: {field}: {message}")]
pub struct FieldError {
    /// The object that holds it.
    pub object: ObjectRef,
    /// The field, as a path such as `spec.podCIDRs[1]`.
    pub field: String,
    /// The value, and what would be right.
    pub message: String,
}

/// An object that cannot be used at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}; the object is not used")]
pub struct InvalidObject(pub FieldError);

/// Collects what is wrong with the values of one object.
pub(super) struct Fields {
    object: ObjectRef,
    errors: Vec<FieldError>,
}

impl Fields {
    pub(super) fn of(object: ObjectRef) -> Fields {
        Fields { object, errors: Vec::new() }
    }

    pub(super) fn error(&self, field: &str, message: impl Display) -> FieldError {
        FieldError { object: self.object.clone(), field: field.to_owned(), message: message.to_string() }
    }

    pub(super) fn refuse(&mut self, field: &str, message: impl Display) {
        let error = self.error(field, message);
        self.errors.push(error);
    }

    /// The value, or a report of the error.
    pub(super) fn keep<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.refuse(field, error)).ok()
    }

    /// The value, or a refusal of the whole object.
    pub(super) fn need<T, E: Display>(&self, field: &str, result: Result<T, E>) -> Result<T, InvalidObject> {
        result.map_err(|error| InvalidObject(self.error(field, error)))
    }

    pub(super) fn done<T>(self, value: T) -> Conversion<T> {
        Conversion { value, errors: self.errors }
    }

    pub(super) fn prefixes<'a>(
        &mut self,
        field: &str,
        cidrs: impl IntoIterator<Item = &'a Cidr>,
    ) -> Vec<Prefix> {
        let cidrs = cidrs.into_iter();
        // Exactly as many: an agent holds one such list for each of up to 100,000 peers.
        let mut prefixes = Vec::with_capacity(cidrs.size_hint().0);
        for (index, cidr) in cidrs.enumerate() {
            match cidr.0.parse() {
                Ok(prefix) => prefixes.push(prefix),
                Err(error) => self.refuse(&format!("{field}[{index}]"), error),
            }
        }
        prefixes
    }

    /// As [`Fields::prefixes`], sorted and each once.
    pub(super) fn sorted_prefixes(&mut self, field: &str, cidrs: &[Cidr]) -> Vec<Prefix> {
        let mut prefixes = self.prefixes(field, cidrs);
        sort(&mut prefixes);
        prefixes
    }

    /// The first usable address of each family.
    pub(super) fn underlay(&mut self, field: &str, addresses: &[Ip]) -> DualStack<Option<IpAddr>> {
        let mut found: DualStack<Option<IpAddr>> = DualStack::default();
        for (index, text) in addresses.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let Some(address) = self.keep(&field, underlay_address(text)) else { continue };
            let place = found.get_mut(Family::of(address));
            if place.is_some() {
                let family = Family::of(address);
                self.refuse(
                    &field,
                    format_args!("\"{text}\" is a second {family} address; give one of each family"),
                );
            } else {
                *place = Some(address);
            }
        }
        found
    }

    pub(super) fn choice<T: Choices>(&mut self, field: &str, choice: Option<&Choice<T>>) -> Option<T> {
        choice.and_then(|choice| self.keep(field, known(choice)))
    }

    pub(super) fn families(&mut self, field: &str, words: &[Choice<Family>]) -> Families {
        let mut known = Vec::new();
        for (index, word) in words.iter().enumerate() {
            known.extend(self.choice(&format!("{field}[{index}]"), Some(word)));
        }
        known.into_iter().collect()
    }

    /// A number from `min` to `max`.
    pub(super) fn number(&mut self, field: &str, given: i64, min: u32, max: u32) -> Option<u32> {
        let fits = u32::try_from(given).ok().filter(|n| (min..=max).contains(n));
        if fits.is_none() {
            self.refuse(field, format_args!("{given} is out of range; use {min} to {max}"));
        }
        fits
    }

    pub(super) fn count(&mut self, field: &str, given: Option<i64>) -> Option<NonZeroU32> {
        NonZeroU32::new(self.number(field, given?, 1, 64)?)
    }

    pub(super) fn tunnel(&mut self, field: &str, given: &TunnelNumbers) -> Option<Tunnel> {
        let vni = self.number(&format!("{field}.vni"), given.vni, 1, 16_777_215);
        let port = self.number(&format!("{field}.port"), given.port, 1, 65_535);
        Some(Tunnel { vni: Vni(vni?), port: UdpPort(u16::try_from(port?).ok()?) })
    }

    pub(super) fn translations(&mut self, field: &str, given: &[GlobalCidr]) -> Vec<Translation> {
        let mut translations = Vec::new();
        for (index, entry) in given.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let real = self.keep(&format!("{field}.cidr"), entry.cidr.0.parse::<Prefix>());
            let global = self.keep(&format!("{field}.global"), entry.global.0.parse::<Prefix>());
            let (Some(real), Some(global)) = (real, global) else { continue };
            if real.family() == global.family() && real.len() == global.len() {
                translations.push(Translation { real, global });
            } else {
                let message = format!(
                    "\"{global}\" cannot stand for {real}; use an {} prefix of length /{}",
                    real.family(),
                    real.len()
                );
                self.refuse(&format!("{field}.global"), message);
            }
        }
        sort(&mut translations);
        translations
    }
}

/// Sorts a list of which each member counts once.
pub(super) fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

/// The meaning of a word.
pub(super) fn known<T: Choices>(choice: &Choice<T>) -> Result<T, String> {
    choice.get().ok_or_else(|| {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        format!("\"{}\" is not {}; use {}", choice.as_str(), T::WHAT, words.join(", "))
    })
}

pub(super) fn cluster_name(text: &str) -> Result<ClusterName, causeway_model::InvalidName> {
    text.parse()
}

/// An address that tunnel packets can be sent to.
fn underlay_address(text: &Ip) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .0
        .parse()
        .map_err(|_| format!("\"{text}\" is not an IP address; for example 192.0.2.1 or 2001:db8::1"))?;
    let what = match address {
        a if a.is_unspecified() => "the unspecified address",
        a if a.is_loopback() => "a loopback address",
        a if a.is_multicast() => "a multicast address",
        IpAddr::V4(a) if a.is_broadcast() => "the broadcast address",
        IpAddr::V4(a) if a.is_link_local() => "a link-local address",
        IpAddr::V6(a) if a.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "an IPv4-mapped address",
        _ => return Ok(address),
    };
    Err(format!("\"{text}\" is {what}; give one at which other nodes reach this one"))
}

/// The IPv4 and the IPv6 overlay address, in any order.
pub(super) fn overlay(addresses: &[Ip]) -> Result<OverlayAddresses, String> {
    let parsed: Vec<IpAddr> = addresses.iter().filter_map(|text| text.0.parse().ok()).collect();
    match parsed.as_slice() {
        [IpAddr::V4(v4), IpAddr::V6(v6)] | [IpAddr::V6(v6), IpAddr::V4(v4)] if addresses.len() == 2 => {
            Ok(OverlayAddresses { v4: *v4, v6: *v6 })
        }
        _ => {
            let given: Vec<&str> = addresses.iter().map(|text| text.0.as_str()).collect();
            Err(format!("[{}] is not one IPv4 and one IPv6 address", given.join(", ")))
        }
    }
}

/// Families as objects write them: nothing stands for both.
pub(super) fn written_families(families: Families) -> Option<Vec<Choice<Family>>> {
    (families != Families::DUAL).then(|| families.iter().map(Choice::from).collect())
}

/// Prefixes as objects write them.
pub(super) fn cidrs(prefixes: &[Prefix]) -> Vec<Cidr> {
    prefixes.iter().copied().map(Cidr::from).collect()
}

/// Addresses as objects write them.
pub(super) fn ips(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Ip> {
    addresses.into_iter().map(Ip::from).collect()
}

/// Overlay addresses as objects write them.
pub(super) fn overlay_ips(overlay: OverlayAddresses) -> Vec<Ip> {
    ips([IpAddr::V4(overlay.v4), IpAddr::V6(overlay.v6)])
}

/// Translations as objects write them.
pub(super) fn global_cidrs(translations: &[Translation]) -> Vec<GlobalCidr> {
    translations.iter().map(|t| GlobalCidr { cidr: t.real.into(), global: t.global.into() }).collect()
}

/// A tunnel as objects write it.
pub(super) fn tunnel_numbers(tunnel: Tunnel) -> TunnelNumbers {
    TunnelNumbers { vni: tunnel.vni.0.into(), port: tunnel.port.0.into() }
}
