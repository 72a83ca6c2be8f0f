//! Documents that somebody might write who means harm: a good one, changed at the level of bytes, of tokens, or of
//! fields.

use causeway_test_deploy::samples;
use serde_json::{Map, Value, json};

use crate::random::Random;

/// The kinds of documents.
const KINDS: [&str; 6] = ["ClusterSet", "Cluster", "ClusterNode", "NodeConfig", "ClusterLink", "PeerSlice"];
/// The cluster whose objects these are; sorts behind the good ones.
pub const CLUSTER: &str = "hostile";

/// A file with one hostile document, or several.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file's content, which need not be text.
    pub bytes: Vec<u8>,
    /// Whether it is called JSON.
    pub json: bool,
}

impl Document {
    /// The document of a number.
    pub fn new(seed: u64) -> Document {
        let random = &mut Random::new(seed);
        let mut value = good(KINDS[random.below(KINDS.len())]);
        let json = random.once_in(4);
        if !random.once_in(5) {
            for _ in 0..=random.below(3) {
                change_field(&mut value, random);
            }
        }
        let mut text = if json || random.once_in(3) { value.to_string() } else { yaml(&value) };
        if random.once_in(3) {
            for _ in 0..=random.below(4) {
                change_token(&mut text, random);
            }
        }
        let mut bytes = text.into_bytes();
        if random.once_in(6) {
            for _ in 0..=random.below(6) {
                change_byte(&mut bytes, random);
            }
        }
        Document { bytes, json }
    }

    /// Its text as far as it is one.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// An object in order, of the hostile cluster, with a status.
fn good(kind: &str) -> Value {
    let mut object = samples::full(kind);
    let namespace = match kind {
        "ClusterSet" | "Cluster" => None,
        "PeerSlice" => Some("causeway-shared".to_owned()),
        _ => Some(format!("causeway-cluster-{CLUSTER}")),
    };
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    // Its own addresses and names, so that the good ones are another's.
    let text = object
        .to_string()
        .replace("east", CLUSTER)
        .replace("10.1.", "10.66.")
        .replace("192.0.2.", "203.0.113.");
    let mut object: Value = serde_json::from_str(&text).unwrap_or(object);
    object["metadata"]["labels"] = json!({"a": "b"});
    if kind == "Cluster" {
        object["status"] = json!({
            "observedGeneration": 1, "podCIDRs": [{"cidr": "10.66.0.0/16", "source": "s"}],
            "serviceCIDRs": [{"cidr": "10.166.0.0/16", "source": "s"}], "overlayCIDRs": ["198.18.200.0/24"],
            "gateways": ["n1"], "nodes": {"ready": 1, "total": 1},
            "globalCIDRs": [{"cidr": "10.66.0.0/16", "global": "100.66.0.0/16"}],
        });
    }
    object
}

/// YAML in block style.
fn yaml(value: &Value) -> String {
    fn write(value: &Value, depth: usize, out: &mut String) {
        let pad = "  ".repeat(depth);
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    out.push_str(&format!("\n{pad}{}:", Value::from(name.as_str())));
                    write(value, depth + 1, out);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for item in items {
                    out.push_str(&format!("\n{pad}-"));
                    write(item, depth + 1, out);
                }
            }
            scalar => out.push_str(&format!(" {scalar}")),
        }
    }
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out.trim_start().to_owned()
}

/// Replaces, removes, doubles, renames or moves something.
fn change_field(value: &mut Value, random: &mut Random) {
    let mut pointers = Vec::new();
    collect(value, String::new(), &mut pointers);
    let at = random.pick(&pointers).clone();
    let elsewhere = random.pick(&pointers).clone();
    match random.below(8) {
        0..=3 => set(value, &at, hostile_value(random)),
        4 => remove(value, &at),
        5 => {
            let moved = value.pointer(&elsewhere).cloned().unwrap_or(Value::Null);
            set(value, &at, moved);
        }
        6 => {
            let times = *random.pick(&[2, 65, 257, 1000]);
            let one = value.pointer(&at).cloned().unwrap_or(Value::Null);
            if one.to_string().len() < 2000 {
                set(value, &at, Value::Array(vec![one; times]));
            }
        }
        _ => {
            if let Some(Value::Object(fields)) = value.pointer_mut(&at) {
                fields.insert(hostile_text(random), hostile_value(random));
            }
        }
    }
}

fn collect(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().take(4) {
                collect(item, format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

fn set(value: &mut Value, at: &str, new: Value) {
    if let Some(place) = value.pointer_mut(at) {
        *place = new;
    }
}

fn remove(value: &mut Value, at: &str) {
    let Some((parent, name)) = at.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(name)),
        Some(Value::Array(items)) => {
            if let Some(index) = name.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn hostile_value(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.pick(&[
            0,
            1,
            -1,
            i64::MAX,
            i64::MIN,
            255,
            256,
            65535,
            65536,
            1 << 24,
            1 << 31,
            1 << 32
        ])),
        2 => json!(random.pick(&[u64::MAX, 1 << 63, 99_999_999_999])),
        3 => json!(random.pick(&[0.5, -0.0, 1e308, 5e-324, 1e19])),
        4 => nested(*random.pick(&[3, 20, 100, 200]), random.once_in(2)),
        5 => json!(*random.pick(&[true, false])),
        6 => {
            let list = (0..random.below(70)).map(|_| Value::from(hostile_text(random)));
            Value::Array(list.collect())
        }
        _ => Value::from(hostile_text(random)),
    }
}

fn nested(depth: usize, list: bool) -> Value {
    (0..depth).fold(Value::Null, |inner, _| {
        if list {
            Value::Array(vec![inner])
        } else {
            Value::Object(Map::from_iter([("a".to_owned(), inner)]))
        }
    })
}

/// Texts that stand where names, addresses, prefixes and choices belong.
fn hostile_text(random: &mut Random) -> String {
    const TEXTS: &[&str] = &[
        "",
        " ",
        "\n",
        "\0",
        "\u{feff}",
        "\u{202e}tsae",
        "é",
        "\u{1f525}",
        "..",
        "../../etc/passwd",
        "/",
        "a/b",
        "-",
        "A",
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.1.0.0/16",
        "10.1.1.0/24",
        "010.1.0.0/16",
        "10.1",
        "10.1.0.1/16",
        "::ffff:10.1.0.0/112",
        "fe80::1%eth0",
        "fd00::/129",
        "192.0.2.1",
        "192.0.2.1/32",
        "255.255.255.255",
        "198.18.0.1",
        "198.18.0.0/15",
        "127.0.0.1",
        "::1",
        "1e3",
        "0x10",
        "~",
        "null",
        "true",
        "!!binary AA==",
        "&a",
        "*a",
        "<<",
        "{{.}}",
        "$(id)",
        "%s%n",
        "'; drop",
        "\\",
        "\"",
        "#",
        "causeway-cluster-good",
        "good",
        "n1",
        "default",
        "Gateway",
        "P2P",
        "IPv4",
        "IPv6",
        "In",
        "Exists",
        "9999999999999999999999",
        "vx-bridge",
        "2030-13-45T99:99:99Z",
        "1970-01-01T00:00:00Z",
    ];
    match random.below(20) {
        0 => "x".repeat(*random.pick(&[46, 63, 64, 253, 254, 1000])),
        1 => "é\u{1f525}".repeat(random.below(100)),
        // A large one now and then: it costs time.
        2 if random.once_in(20) => "y".repeat(300_000),
        _ => (*random.pick(TEXTS)).to_owned(),
    }
}

/// Changes something that parsers look at.
fn change_token(text: &mut String, random: &mut Random) {
    const TOKENS: &[&str] = &[
        "---\n",
        "\n...\n",
        "\n  ",
        "\t",
        "&a *a ",
        "!!binary ",
        "<<: *a\n",
        "? - : [{",
        "\u{feff}",
        "\0",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "\"",
        "'",
        "|",
        ">",
        "%YAML 9.9\n",
        "# ",
        "- ",
        "*a",
        "&a ",
        "!<tag:x> ",
        "\r\n",
        "\\u0000",
        "\\ud800",
        "metadata:\n",
        "spec: {}\n",
        "kind: Cluster\n",
    ];
    let at = boundary(text, random);
    match random.below(10) {
        0..=4 => text.insert_str(at, TOKENS[random.below(TOKENS.len())]),
        5 => text.truncate(at),
        6 => {
            // A field twice.
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let line = random.below(lines.len());
            let mut lines = lines;
            if let Some(one) = lines.get(line).cloned() {
                lines.insert(random.below(lines.len() + 1), one);
            }
            *text = lines.join("\n");
        }
        7 => {
            let depth = *random.pick(&[10, 100, 2_000]);
            let (open, close) = *random.pick(&[("[", "]"), ("{\"a\":", "}"), ("- ", ""), ("? ", "")]);
            text.insert_str(at, &format!("{}{}", open.repeat(depth), close.repeat(depth)));
        }
        8 => {
            // Aliases of aliases: small to write, huge when written out.
            let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
            for n in 1..random.below(9) {
                let more = vec![format!("*a{}", n - 1); 9].join(", ");
                laughs.push_str(&format!("a{n}: &a{n} [{more}]\n"));
            }
            text.push_str(&laughs);
        }
        _ => {
            let again = text.clone();
            text.push_str("\n---\n");
            text.push_str(&again);
        }
    }
}

fn boundary(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn change_byte(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let byte = random.below(256) as u8;
    match random.below(4) {
        0 => bytes.insert(at, byte),
        1 => bytes.truncate(at.max(1)),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        _ => {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_document() {
        for seed in 0..200 {
            assert_eq!(Document::new(seed).bytes, Document::new(seed).bytes);
        }
        assert_ne!(Document::new(1).bytes, Document::new(2).bytes);
    }
}
