//! The lab file as it is written: every field that a user may give, and nothing made up. What is
//! left out gets its default in [`super::resolve`].

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use causeway_model::{Family, Prefix};
use serde::de::{MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{CniKind, ControlPlane, KubeProxy, KubernetesVersion};

/// The whole file.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LabFile {
    pub name: Option<Spanned<String>>,
    #[serde(default)]
    pub underlay: UnderlaySection,
    #[serde(default)]
    pub control_plane: ControlPlane,
    pub kubernetes: Option<Spanned<KubernetesVersion>>,
    pub cluster_set: Option<Value>,
    pub clusters: Vec<ClusterSection>,
    #[serde(default)]
    pub expect: Vec<ExpectSection>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UnderlaySection {
    pub mtu: Option<Spanned<u32>>,
    pub families: Option<Vec<Family>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ClusterSection {
    pub name: Spanned<String>,
    pub spec: Option<Value>,
    #[serde(default)]
    pub cni: OneOf<CniKind, CniSection>,
    pub kube_proxy: Option<Spanned<KubeProxy>>,
    pub families: Option<Vec<Family>>,
    #[serde(default)]
    pub underlay: ClusterUnderlaySection,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<Spanned<Prefix>>>,
    #[serde(rename = "serviceCIDRs")]
    pub service_cidrs: Option<Vec<Spanned<Prefix>>>,
    #[serde(default = "yes")]
    pub linked: bool,
    pub nodes: CountOr<NodeSection>,
    pub services: Option<Vec<ServiceSection>>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ClusterUnderlaySection {
    pub mtu: Option<Spanned<u32>>,
    pub families: Option<Vec<Family>>,
    pub subnets: Option<Vec<Spanned<Prefix>>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CniSection {
    #[serde(rename = "type")]
    pub kind: CniKind,
    pub masquerade: Option<bool>,
    pub forward_accept: Option<bool>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NodeSection {
    pub name: Option<Spanned<String>>,
    pub addresses: Option<Vec<Spanned<IpAddr>>>,
    pub families: Option<Vec<Family>>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<Spanned<Prefix>>>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub ready: Option<bool>,
    pub zone: Option<String>,
    pub pods: Option<CountOr<PodSection>>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PodSection {
    pub name: Option<Spanned<String>>,
    pub addresses: Option<Vec<Spanned<IpAddr>>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ServiceSection {
    pub name: Spanned<String>,
    pub addresses: Option<Vec<Spanned<IpAddr>>>,
    pub backends: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ExpectSection {
    pub from: Spanned<String>,
    pub to: Spanned<String>,
    pub families: Option<Vec<Family>>,
    pub reachable: bool,
}

/// A number of like things, or a list that says more of each.
#[derive(Debug)]
pub(crate) enum CountOr<T> {
    Count(u16),
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for CountOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = CountOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1000, or a list")
            }

            fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Self::Value, E> {
                let unexpected = serde::de::Unexpected::Unsigned(count);
                let small = u16::try_from(count).ok().filter(|c| *c <= 1000);
                small.map(CountOr::Count).ok_or_else(|| E::invalid_value(unexpected, &self))
            }

            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Self::Value, E> {
                let unexpected = serde::de::Unexpected::Signed(count);
                u64::try_from(count)
                    .map_err(|_| E::invalid_value(unexpected, &self))
                    .and_then(|c| self.visit_u64(c))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(list)).map(CountOr::List)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A word, or a map that says more.
#[derive(Debug, Default)]
pub(super) enum OneOf<W, M> {
    #[default]
    Absent,
    Word(W),
    Map(M),
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>> Deserialize<'de> for OneOf<W, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<W, M>(PhantomData<(W, M)>);
        impl<'de, W: Deserialize<'de>, M: Deserialize<'de>> Visitor<'de> for Either<W, M> {
            type Value = OneOf<W, M>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a map")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
                W::deserialize(value::StrDeserializer::new(word)).map(OneOf::Word)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                M::deserialize(value::MapAccessDeserializer::new(map)).map(OneOf::Map)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}
