//! A word out of a closed list, as objects write it. Any text is kept, so that a mistyped word costs
//! its own field only and not the object around it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use causeway_model::{Family, Mode, PrefixKind, Role, Scope, Transport, Via};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A closed list of words and what each stands for.
pub trait Choices: Copy + PartialEq + 'static {
    /// What the list is of, for messages: `a mode`.
    const WHAT: &'static str;
    /// The words with their meaning. No word and no meaning appears twice.
    const WORDS: &'static [(&'static str, Self)];
}

/// A word out of the list of `T`, or a text that is none of them.
pub struct Choice<T> {
    text: Cow<'static, str>,
    meaning: PhantomData<T>,
}

impl<T: Choices> Choice<T> {
    /// What the word stands for; `None` if it is not in the list.
    pub fn get(&self) -> Option<T> {
        T::WORDS.iter().find(|(word, _)| *word == self.text).map(|(_, value)| *value)
    }
}

impl<T> Choice<T> {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<T: Choices> From<T> for Choice<T> {
    fn from(value: T) -> Self {
        let word = T::WORDS.iter().find(|(_, meaning)| *meaning == value).map_or("", |(word, _)| *word);
        Choice { text: Cow::Borrowed(word), meaning: PhantomData }
    }
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Choice { text: self.text.clone(), meaning: PhantomData }
    }
}

impl<T> PartialEq for Choice<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Choice<T> {}

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Choice { text: Cow::Borrowed(""), meaning: PhantomData }
    }
}

impl<T> fmt::Debug for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<T> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: Choices> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Cow::<str>::deserialize(deserializer)?;
        let known = T::WORDS.iter().find(|(word, _)| *word == given).map(|(word, _)| Cow::Borrowed(*word));
        Ok(Choice { text: known.unwrap_or_else(|| Cow::Owned(given.into_owned())), meaning: PhantomData })
    }
}

impl<T: Choices> JsonSchema for Choice<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({
            "description": format!("One of {}.", words.join(", ")),
            "type": "string",
            "enum": words,
        })
    }
}

macro_rules! choices {
    ($type:ty, $what:literal, [$(($word:literal, $value:expr)),+ $(,)?]) => {
        impl crate::Choices for $type {
            const WHAT: &'static str = $what;
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),+];
        }
    };
}
pub(crate) use choices;

choices!(Mode, "a mode", [("P2P", Mode::P2p), ("Gateway", Mode::Gateway)]);
choices!(Family, "an IP family", [("IPv4", Family::V4), ("IPv6", Family::V6)]);
choices!(Transport, "a transport", [("VXLAN", Transport::Vxlan)]);
choices!(Role, "a role", [("Node", Role::Node), ("Gateway", Role::Gateway), ("Internal", Role::Internal)]);
choices!(Scope, "a scope", [("Nodes", Scope::Nodes), ("Gateways", Scope::Gateways)]);
choices!(Via, "a way", [("Nodes", Via::Nodes), ("Gateways", Via::Gateways)]);
choices!(
    PrefixKind,
    "a kind of prefix",
    [("Pod", PrefixKind::Pod), ("Service", PrefixKind::Service), ("Overlay", PrefixKind::Overlay)]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_is_kept_and_stands_for_nothing() {
        let choice: Choice<Mode> = serde_json::from_str("\"p2p\"").unwrap();
        assert_eq!((choice.get(), choice.as_str()), (None, "p2p"));
        assert_eq!(serde_json::to_string(&choice).unwrap(), "\"p2p\"");
    }

    #[test]
    fn every_word_round_trips() {
        fn check<T: Choices + fmt::Debug>() {
            for (word, value) in T::WORDS {
                assert_eq!(Choice::from(*value).as_str(), *word);
                assert_eq!(Choice::from(*value).get(), Some(*value));
            }
        }
        check::<Mode>();
        check::<Family>();
        check::<Transport>();
        check::<Role>();
        check::<Scope>();
        check::<Via>();
        check::<PrefixKind>();
        check::<crate::CniType>();
        check::<crate::GlobalCidrMode>();
        check::<crate::UnderlaySource>();
        check::<crate::SelectorOperator>();
    }
}
