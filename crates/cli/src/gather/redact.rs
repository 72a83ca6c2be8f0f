//! Takes secrets out of a text: tokens, passwords, keys, certificates, whatever holds them. It rather takes too much
//! than too little. Names of Secrets stay.

use serde_json::Value;

/// What stands where a secret was.
pub const REDACTED: &str = "REDACTED";

/// A key that ends so has a secret for a value.
const KEYS: [&str; 16] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "privatekey",
    "apikey",
    "accesskey",
    "accesskeyid",
    "clientkeydata",
    "clientcertificatedata",
    "certificateauthoritydata",
    "authorization",
    "credential",
    "credentials",
];

/// The same text without secrets.
pub fn redact(text: &str) -> String {
    let text = without_pem(text);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        out.push_str(&words(&user_info(&values(line))));
    }
    out
}

/// The same value without secrets in its strings. A text that is written from it may break lines anywhere, so they go
/// before it is written.
pub fn redact_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(redact_value),
        Value::Object(fields) => {
            for (key, inner) in fields {
                match inner {
                    Value::String(text) if is_secret_key(key, false) && !is_harmless(text) => {
                        REDACTED.clone_into(text);
                    }
                    inner => redact_value(inner),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes out PEM blocks (RFC 7468), also those whose line breaks are written as `\n`, or whose end is missing.
fn without_pem(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        out.push_str(&rest[..start]);
        out.push_str(REDACTED);
        let block = &rest[start + BEGIN.len()..];
        let next = block.find(BEGIN).unwrap_or(block.len());
        let end = block[..next].find(END).and_then(|end| {
            let after = end + END.len();
            block[after..].find("-----").map(|dashes| after + dashes + "-----".len())
        });
        rest = &block[end.unwrap_or_else(|| unfinished(block))..];
    }
    out.push_str(rest);
    out
}

/// The length of a block whose end is missing: its first line, and lines of base64 after it.
fn unfinished(block: &str) -> usize {
    let mut length = 0;
    for (number, line) in block.split_inclusive('\n').enumerate() {
        let text = line.trim();
        let base64 = !text.is_empty() && text.chars().all(|c| is_word(c) && c != '.' && c != '-' && c != '_');
        if number > 0 && !base64 {
            break;
        }
        length += line.len();
    }
    length
}

/// Takes out the values of keys that are known to hold secrets: `key: value`, `key=value`, `"key": "value"`,
/// `--key value`.
fn values(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find([':', '=', ' ']) {
        let (before, after) = rest.split_at(at);
        let flag = rest.as_bytes()[at] == b' ';
        out.push_str(before);
        let (separator, after) = after.split_at(1);
        out.push_str(separator);
        rest = after;
        let word = before.rsplit([' ', '\t', ',', '{', '&', '?', ';']).next().unwrap_or_default();
        if !is_secret_key(word, flag) {
            continue;
        }
        let value = rest.trim_start_matches([' ', '"', '\'', '\\']);
        out.push_str(&rest[..rest.len() - value.len()]);
        let length = value_length(value);
        if length > 0 && !is_harmless(&value[..length]) {
            out.push_str(REDACTED);
            rest = &value[length..];
        } else {
            rest = value;
        }
    }
    out.push_str(rest);
    out
}

fn is_secret_key(word: &str, flag: bool) -> bool {
    if flag && !word.starts_with('-') {
        return false;
    }
    let bare: String =
        word.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    KEYS.iter().any(|key| bare.ends_with(key))
}

/// The length of a value: up to what ends it, and with the word after `Bearer` and `Basic`.
fn value_length(value: &str) -> usize {
    let end =
        |text: &str| text.find(['"', '\'', ',', '}', ']', ' ', '\n', '\r', '&', ';']).unwrap_or(text.len());
    let first = end(value);
    let scheme = &value[..first];
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic") {
        let rest = value[first..].trim_start_matches(' ');
        return value.len() - rest.len() + end(rest);
    }
    first
}

/// Numbers and words of YAML are no secrets, and nothing is left to take out.
fn is_harmless(value: &str) -> bool {
    matches!(value, "true" | "false" | "null" | "~" | REDACTED | "{" | "[" | "|" | ">" | "|-" | ">-")
        || value.parse::<f64>().is_ok()
}

/// Takes out user and password of URLs (RFC 3986, 3.2.1).
fn user_info(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority = after.find(['/', ' ', '"', '\n', '\'']).unwrap_or(after.len());
        rest = after;
        if let Some(user) = after[..authority].rfind('@') {
            out.push_str(REDACTED);
            rest = &after[user..];
        }
    }
    out.push_str(rest);
    out
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '+' | '/' | '=')
}

/// Takes out words that look like secrets wherever they stand.
fn words(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        out.push_str(&rest[..start]);
        let word = &rest[start..];
        let end = word.find(|letter| !is_word(letter)).unwrap_or(word.len());
        out.push_str(if looks_secret(&word[..end]) { REDACTED } else { &word[..end] });
        rest = &word[end..];
    }
    out.push_str(rest);
    out
}

/// JSON Web Tokens and other JSON in base64, PEM in base64, bootstrap tokens, and long words that mix everything.
fn looks_secret(word: &str) -> bool {
    let value = word.rsplit('=').find(|part| !part.is_empty()).unwrap_or(word);
    let long = |text: &str| {
        text.len() >= 40
            && text.chars().any(|c| c.is_ascii_uppercase())
            && text.chars().any(|c| c.is_ascii_lowercase())
            && text.chars().filter(char::is_ascii_digit).count() >= 3
    };
    // Paths are long too; it is their parts that count.
    let mixed = value.split(['/', '.']).any(long);
    value.starts_with("LS0tLS1CRUdJTi")
        || (value.starts_with("eyJ") && value.len() >= 20)
        || is_bootstrap(value)
        || mixed
}

/// A token by which nodes join, `abcdef.0123456789abcdef`.
fn is_bootstrap(word: &str) -> bool {
    let lower = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    word.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6
            && secret.len() == 16
            && lower(id)
            && lower(secret)
            && secret.contains(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_in_whatever_form_they_come() {
        let pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\nc2VjcmV0\n-----END PRIVATE KEY-----";
        for (text, wanted) in [
            ("token: c2VjcmV0", "token: REDACTED"),
            ("{\"password\":\"c2VjcmV0\",\"a\":1}", "{\"password\":\"REDACTED\",\"a\":1}"),
            ("Authorization: Bearer c2VjcmV0 ok", "Authorization: REDACTED ok"),
            ("run --hub-token=c2VjcmV0 --x", "run --hub-token=REDACTED --x"),
            ("run --password c2VjcmV0", "run --password REDACTED"),
            ("client-key-data: c2VjcmV0\nb: 1\n", "client-key-data: REDACTED\nb: 1\n"),
            ("GET https://me:c2VjcmV0@host/x", "GET https://REDACTED@host/x"),
            ("GET /x?access_token=c2VjcmV0&b=1", "GET /x?access_token=REDACTED&b=1"),
            ("said eyJhbGciOiJSUzI1NiJ9.c2VjcmV0.c2VjcmV0", "said REDACTED"),
            ("join abcdef.0123456789abcdef now", "join REDACTED now"),
            ("data LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "data REDACTED"),
            ("key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789aBcDeFgHiJ", "key REDACTED"),
            ("\"msg\":\"token=c2VjcmV0\"", "\"msg\":\"token=REDACTED\""),
        ] {
            let out = redact(text);
            assert_eq!(out, wanted);
            assert!(!out.contains("c2VjcmV0"), "{out}");
        }
        assert_eq!(redact(&format!("a\n{pem}\nb")), "a\nREDACTED\nb");
        assert_eq!(redact(&format!("x: \"{}\" y", pem.replace('\n', "\\n"))), "x: \"REDACTED\" y");
        assert_eq!(
            redact("-----BEGIN CERTIFICATE-----\nc2VjcmV0c2VjcmV0\nplain words"),
            "REDACTEDplain words"
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "automountServiceAccountToken: true",
            "secretName: causeway-hub",
            "image: registry.example/causeway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "uid: 01234567-89ab-cdef-0123-456789abcdef",
            "path: /apis/causeway.dev/v1alpha1/namespaces/causeway-cluster-east/clusternodes",
            "node ip-10-0-1-2.eu-west-1.compute.internal has 10.1.0.0/16 and fd00:1::/48",
            "the token is not accepted, it seems",
            "https://hub.example:6443/api",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn values_go_before_lines_are_broken() {
        let long = "word ".repeat(40);
        let mut value = serde_json::json!({
            "token": "two words", "note": format!("{long}Authorization: Bearer c2VjcmV0"), "list": ["password=c2VjcmV0"],
            "automountServiceAccountToken": true,
        });
        redact_value(&mut value);
        let note = format!("{long}Authorization: REDACTED");
        let wanted = serde_json::json!({
            "token": "REDACTED", "note": note, "list": ["password=REDACTED"], "automountServiceAccountToken": true,
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn text_of_any_kind_is_no_trouble() {
        for text in [
            "",
            "-----BEGIN ",
            "token:",
            "token: ",
            "a=b=c",
            "é: ü",
            "://",
            "token=\"",
            "-----BEGIN X-----END ",
        ] {
            let _ = redact(text);
        }
    }
}
