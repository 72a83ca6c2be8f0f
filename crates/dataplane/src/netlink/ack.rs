//! The kernel's answers to changes: error number and its own words.

use super::wire::{Attributes, Malformed, u32_at};

/// `NLM_F_CAPPED`: the request is not quoted behind its header.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow.
const HAS_ATTRIBUTES: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const MESSAGE: u16 = 1;
/// `NLMSGERR_ATTR_MISS_TYPE`: an attribute that is missing.
const MISSING_TYPE: u16 = 5;

/// The answer to one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Positive error number; 0 if all went well.
    pub code: i32,
    /// The kernel's words, empty or beginning with ": ".
    pub detail: String,
}

impl Answer {
    /// Reads the payload of an `NLMSG_ERROR` (`struct nlmsgerr` and, in extended acknowledgements,
    /// attributes).
    ///
    /// # Errors
    /// [`Malformed`] if the error number itself is cut off. Words that cannot be read are left out.
    pub fn of_error(flags: u16, payload: &[u8]) -> Result<Answer, Malformed> {
        const FIXED: usize = 4 + super::wire::HEADER;
        if payload.len() < FIXED {
            return Err(Malformed::Fixed { expected: FIXED, available: payload.len() });
        }
        let code = number(payload);
        if code == 0 || flags & HAS_ATTRIBUTES == 0 {
            return Ok(Answer { code, detail: String::new() });
        }
        let quoted = if flags & CAPPED == 0 { u32_at(payload, 4) as usize } else { super::wire::HEADER };
        let attributes = payload.get(4 + quoted.next_multiple_of(4)..).unwrap_or_default();
        Ok(Answer { code, detail: words(attributes) })
    }

    /// Reads the payload of an `NLMSG_DONE`, which ends a dump and may say that it failed.
    pub fn of_done(flags: u16, payload: &[u8]) -> Answer {
        let code = if payload.len() < 4 { 0 } else { number(payload) };
        let has_words = code != 0 && flags & HAS_ATTRIBUTES != 0;
        let attributes = if has_words { payload.get(4..).unwrap_or_default() } else { &[] };
        Answer { code, detail: words(attributes) }
    }
}

/// The error number, which the kernel writes negative.
fn number(payload: &[u8]) -> i32 {
    (u32_at(payload, 0) as i32).saturating_neg().max(0)
}

fn words(attributes: &[u8]) -> String {
    let mut text = String::new();
    for attribute in Attributes(attributes).map_while(Result::ok) {
        match attribute.kind {
            MESSAGE => text.insert_str(0, &format!(": {}", attribute.text())),
            MISSING_TYPE => text.push_str(&format!(": attribute {} is missing", u32_at(attribute.value, 0))),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(code: i32, quoted: &[u8], words: &str) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend(((16 + quoted.len()) as u32).to_ne_bytes());
        payload.extend([0; 12]);
        payload.extend(quoted);
        super::super::wire::Body(&mut payload).attribute(MESSAGE, words.as_bytes());
        payload
    }

    #[test]
    fn the_words_are_found_behind_a_quoted_and_a_capped_request() {
        let capped = error(-17, &[], "File is there\0");
        let answer = Answer::of_error(CAPPED | HAS_ATTRIBUTES, &capped).unwrap();
        assert_eq!(answer, Answer { code: 17, detail: ": File is there".into() });
        let whole = error(-22, &[1; 24], "Nexthop has invalid gateway\0");
        let answer = Answer::of_error(HAS_ATTRIBUTES, &whole).unwrap();
        assert_eq!(answer, Answer { code: 22, detail: ": Nexthop has invalid gateway".into() });
    }

    #[test]
    fn an_acknowledgement_is_code_zero() {
        let answer = Answer::of_error(CAPPED, &error(0, &[], "")).unwrap();
        assert_eq!(answer, Answer { code: 0, detail: String::new() });
        assert!(Answer::of_error(0, &[0; 8]).is_err());
    }

    #[test]
    fn the_end_of_a_dump_may_be_an_error() {
        assert_eq!(Answer::of_done(0, &(-2i32).to_ne_bytes()).code, 2);
        assert_eq!(Answer::of_done(0, &[]).code, 0);
        assert_eq!(Answer::of_done(0, &0i32.to_ne_bytes()).code, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            flags in any::<u16>(),
            payload in proptest::collection::vec(any::<u8>(), 0..128),
        ) {
            let _ = Answer::of_error(flags, &payload);
            let _ = Answer::of_done(flags, &payload);
        }
    }
}
