//! How a prefix looks to other clusters under the translations of its own.

use causeway_model::{Prefix, Translation};

/// The parts of `real` with the prefix under which others see each, in order of the real ones. A
/// translation may cover the prefix or only a part of it; what none covers is seen as it is.
/// `translations` do not overlap each other.
pub(crate) fn seen_parts(real: &Prefix, translations: &[Translation]) -> Vec<Translation> {
    if let Some(around) = translations.iter().find(|t| t.real.covers(real)) {
        let global = around.real.translate_prefix(&around.global, real).unwrap_or(*real);
        return vec![Translation { real: *real, global }];
    }
    let mut parts: Vec<Translation> = translations.iter().filter(|t| real.covers(&t.real)).copied().collect();
    let holes: Vec<Prefix> = parts.iter().map(|part| part.real).collect();
    let mut rest = Vec::new();
    subtract(real, &holes, &mut rest);
    parts.extend(rest.into_iter().map(|part| Translation { real: part, global: part }));
    parts.sort_unstable();
    parts
}

/// What is left of `prefix` without `holes`, as the fewest prefixes.
fn subtract(prefix: &Prefix, holes: &[Prefix], rest: &mut Vec<Prefix>) {
    if holes.iter().any(|hole| hole.covers(prefix)) {
        return;
    }
    if !holes.iter().any(|hole| prefix.covers(hole)) {
        rest.push(*prefix);
        return;
    }
    for half in prefix.subnets(prefix.len() + 1) {
        subtract(&half, holes, rest);
    }
}

/// The prefixes under which others see `reals`, sorted.
pub(crate) fn seen(reals: &[Prefix], translations: &[Translation]) -> Vec<Prefix> {
    if translations.is_empty() {
        return reals.to_vec();
    }
    let parts = reals.iter().flat_map(|real| seen_parts(real, translations));
    let mut seen: Vec<Prefix> = parts.map(|part| part.global).collect();
    seen.sort_unstable();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_inside_a_mapped_one_moves_with_it() {
        let map = [Translation { real: p("10.1.0.0/16"), global: p("100.64.0.0/16") }];
        assert_eq!(seen(&[p("10.1.7.0/24"), p("10.2.0.0/24")], &map), [p("10.2.0.0/24"), p("100.64.7.0/24")]);
    }

    #[test]
    fn a_mapped_part_leaves_the_rest_as_it_is() {
        let map = [Translation { real: p("10.1.64.0/18"), global: p("100.64.0.0/18") }];
        assert_eq!(
            seen(&[p("10.1.0.0/16")], &map),
            [p("10.1.0.0/18"), p("10.1.128.0/17"), p("100.64.0.0/18")]
        );
    }
}
