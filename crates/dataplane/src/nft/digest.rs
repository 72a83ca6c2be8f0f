//! Rules told apart without decoding them.

use super::expression::write;
use super::ruleset::Rule;
use crate::netlink::wire;

/// Marks the form of our expressions. A new number rewrites all rules on the next run.
const FORM: u8 = 1;
/// FNV-1a: `http://www.isthe.com/chongo/tech/comp/fnv/`.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// A short hash of what a rule does and says. It stands in the rule's comment, so that a rule that
/// was changed, moved or doubled is found without decoding what the kernel holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(u32);

impl Digest {
    /// The digest of a rule: the same in every run and on every machine of one byte order.
    pub fn of(rule: &Rule) -> Digest {
        let mut bytes = Vec::with_capacity(512);
        wire::write_message(&mut bytes, 0, 0, 0, |body| write(body, rule));
        let content = &bytes[wire::HEADER..];
        let hash = std::iter::once(&FORM)
            .chain(content)
            .chain(rule.comment.as_bytes())
            .fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
        Digest((hash ^ (hash >> 32)) as u32)
    }

    /// The digest at the end of the comment of one of our rules.
    pub fn in_comment(comment: &str) -> Option<Digest> {
        let (_, hex) = comment.rsplit_once('#')?;
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 8 || !hex.bytes().all(lower) {
            return None;
        }
        u32::from_str_radix(hex, 16).ok().map(Digest)
    }
}

/// The comment of a rule in the kernel: its own, and its digest.
pub fn comment(rule: &Rule) -> String {
    format!("{} #{:08x}", rule.comment, Digest::of(rule).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::Action;

    fn drop_all(comment: &str) -> Rule {
        Rule { matches: Vec::new(), action: Action::Drop, comment: comment.to_owned() }
    }

    #[test]
    fn the_digest_is_found_at_the_end_of_the_comment() {
        let rule = drop_all("whatever is left #1");
        let text = comment(&rule);
        assert!(text.starts_with("whatever is left #1 #"));
        assert_eq!(Digest::in_comment(&text), Some(Digest::of(&rule)));
        for foreign in ["", "#", "x #123", "x #1234567g", "x #1234567G", "x #12345678 y", "x #+1234567"] {
            assert_eq!(Digest::in_comment(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_digest_tells_content_and_comment_apart_and_never_changes() {
        let accept = Rule { action: Action::Accept, ..drop_all("x") };
        assert_ne!(Digest::of(&accept), Digest::of(&drop_all("x")));
        assert_ne!(Digest::of(&drop_all("y")), Digest::of(&drop_all("x")));
        assert_eq!(comment(&accept), "x #39bd6413");
    }
}
