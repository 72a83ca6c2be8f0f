//! What is wrong, in such a way that it can be told once: one cause often makes many requests fail, again
//! and again and each in slightly other words.

use std::collections::{BTreeMap, BTreeSet};

use crate::{RequestError, Trouble};

/// Failures in a row before one is told: what passes at once is nobody's business.
const TOLD_AFTER: u32 = 2;
/// How many failed writes a text names at most.
const NAMED: usize = 3;

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The same for the same problem, however the text changes.
    pub about: String,
    /// What it concerns. More of it is news, less is not.
    pub of: BTreeSet<String>,
    /// In words.
    pub text: String,
}

impl From<String> for Problem {
    fn from(text: String) -> Problem {
        Problem { about: text.clone(), of: BTreeSet::new(), text }
    }
}

/// Puts troubles of the same kind together. `at` says in front of each text which API server it is, if that is
/// in question.
pub fn problems(at: &str, troubles: impl IntoIterator<Item = (String, Trouble)>) -> Vec<Problem> {
    let mut groups: BTreeMap<&'static str, (BTreeSet<String>, Trouble)> = BTreeMap::new();
    for (name, trouble) in troubles {
        let group = groups.entry(trouble.class()).or_insert_with(|| (BTreeSet::new(), trouble));
        group.0.insert(name);
    }
    let problem = |(class, (names, trouble)): (&str, (BTreeSet<String>, Trouble))| {
        let listed: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = format!("{at}{}: {trouble}", listed.join(", "));
        // An API server that is not reached is one problem, whoever asks. What is not allowed has a name.
        let of = if trouble.is_of_everything() { BTreeSet::new() } else { names };
        Problem { about: format!("{at}{class}"), of, text }
    };
    groups.into_iter().map(problem).collect()
}

/// Puts problems that are the same together, in the words of the first.
pub fn merged(problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut merged: Vec<Problem> = Vec::new();
    for problem in problems {
        let Some(same) = merged.iter_mut().find(|same| same.about == problem.about) else {
            merged.push(problem);
            continue;
        };
        if !problem.of.is_subset(&same.of) {
            same.text = format!("{}; {}", same.text, problem.text);
            same.of.extend(problem.of);
        }
    }
    merged
}

/// Requests that failed and were not made good, by what they are about.
#[derive(Debug)]
pub struct Failures<K>(BTreeMap<K, (u32, RequestError)>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Failures(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Failures<K> {
    /// How a request ended.
    pub fn ended<T>(&mut self, key: &K, result: Result<T, RequestError>) {
        match result {
            Ok(_) => {
                self.0.remove(key);
            }
            Err(error) => {
                tracing::debug!("{error}; trying again");
                let count = self.0.get(key).map_or(0, |(count, _)| *count);
                self.0.insert(key.clone(), (count.saturating_add(1), error));
            }
        }
    }

    /// How often in a row a request failed.
    pub fn count(&self, key: &K) -> u32 {
        self.0.get(key).map_or(0, |(count, _)| *count)
    }

    /// What is not to be done any more cannot fail.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    /// What is to be told: for each reason one problem, with some of those that it hit.
    pub fn problems(&self, at: &str) -> Vec<Problem> {
        let mut groups: BTreeMap<&'static str, Vec<&RequestError>> = BTreeMap::new();
        for (count, error) in self.0.values() {
            if *count >= TOLD_AFTER {
                groups.entry(error.class()).or_default().push(error);
            }
        }
        let problem = |(class, errors): (&str, Vec<&RequestError>)| {
            let mut texts: Vec<String> = errors.iter().take(NAMED).map(ToString::to_string).collect();
            if errors.len() > NAMED {
                texts.push(format!("and {} more", errors.len() - NAMED));
            }
            let of = errors.iter().filter_map(|error| error.sort()).collect();
            Problem {
                about: format!("{at}{class}"),
                of,
                text: format!("{at}{}; trying again", texts.join("; ")),
            }
        };
        groups.into_iter().map(problem).collect()
    }
}

/// What keeps a Lease from being asked for. Where watches fail for the same reason it is not told a second time.
#[derive(Debug, Default)]
pub struct LeaseTrouble {
    error: Option<RequestError>,
    /// How often in a row it failed while nothing else did for the same reason.
    alone: u32,
}

impl LeaseTrouble {
    /// How asking for it ended.
    pub fn asked(&mut self, result: Result<(), &RequestError>) {
        match result {
            Ok(()) => *self = LeaseTrouble::default(),
            Err(error) => {
                self.error = Some(error.clone());
                self.alone = self.alone.saturating_add(1);
            }
        }
    }

    /// Why it cannot be asked for.
    pub fn error(&self) -> Option<&RequestError> {
        self.error.as_ref()
    }

    /// Adds what is to be told to `problems`.
    pub fn add_to(&mut self, at: &str, problems: &mut Vec<Problem>) {
        let Some(error) = &self.error else { return };
        let about = format!("{at}{}", error.class());
        if problems.iter().any(|problem| problem.about == about) {
            self.alone = 0;
        } else if self.alone >= TOLD_AFTER {
            problems.push(Problem { about, of: BTreeSet::new(), text: format!("{at}{error}; trying again") });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_client::Error;
    use kube_client::core::Status;

    fn refused(code: u16, what: &str) -> RequestError {
        let status = Status::failure("no", "R").with_code(code);
        RequestError::new(what, &Error::Api(status.boxed()))
    }

    #[test]
    fn one_cause_of_many_troubles_is_one_problem() {
        let forbidden = |name: &str| (name.to_owned(), Trouble::Forbidden(format!("no {name}")));
        let all = problems("hub: ", [forbidden("b"), forbidden("a")]);
        assert_eq!(all.len(), 1);
        assert!(all[0].text.starts_with("hub: a, b: not allowed: no b; apply the RBAC"), "{}", all[0].text);
        assert_eq!(all[0].of.len(), 2);
        let away = |name: &str| (name.to_owned(), Trouble::Unreachable("refused".to_owned()));
        let all = problems("", [away("a"), forbidden("a"), away("b")]);
        assert_eq!(all.len(), 2);
        assert!(all.iter().any(|problem| problem.text.starts_with("a, b: ") && problem.of.is_empty()));
    }

    #[test]
    fn a_write_that_fails_twice_is_told_once_for_its_reason() {
        let mut failures = Failures::default();
        for round in 0..3 {
            let told = failures.problems("");
            assert_eq!(told.len(), usize::from(round >= 2), "{told:?}");
            for key in 0..5 {
                failures.ended::<()>(&key, Err(refused(422, &format!("apply NodeConfig a/n{key}"))));
            }
        }
        let told = failures.problems("");
        assert!(told[0].text.contains("a/n2") && told[0].text.contains("and 2 more"), "{told:?}");
        assert_eq!(told[0].of, ["apply NodeConfig".to_owned()].into());
        (0..5).for_each(|key| failures.ended(&key, Ok(())));
        assert_eq!(failures.problems(""), []);
    }

    #[test]
    fn a_lease_is_not_told_of_beside_watches_that_fail_for_the_same_reason() {
        let (mut lease, error) = (LeaseTrouble::default(), refused(403, "read Lease a/b"));
        let watches = problems("", [("a".to_owned(), Trouble::Forbidden("no".to_owned()))]);
        let told = |lease: &mut LeaseTrouble, with: &[Problem]| {
            let mut all = with.to_vec();
            lease.add_to("", &mut all);
            all.len()
        };
        lease.asked(Err(&error));
        assert_eq!((told(&mut lease, &[]), told(&mut lease, &watches)), (0, 1));
        // The watches are well again, and the Lease was not asked for since.
        lease.asked(Err(&error));
        assert_eq!(told(&mut lease, &[]), 0);
        lease.asked(Err(&error));
        assert_eq!(told(&mut lease, &[]), 1);
        lease.asked(Ok(()));
        assert_eq!(told(&mut lease, &[]), 0);
    }

    #[test]
    fn the_same_problem_twice_is_one() {
        let twice = merged(
            [problems("", [("a".to_owned(), Trouble::Unauthorized("x".to_owned()))]), {
                let mut failures = Failures::default();
                (0..2).for_each(|_| failures.ended::<()>(&1, Err(refused(401, "apply x"))));
                failures.problems("")
            }]
            .concat(),
        );
        assert_eq!(twice.len(), 1, "{twice:?}");
    }
}
