//! What a person at the hub must know of what members say: that a cluster's CIDRs are not found, its nodes are not as
//! planned, a link has no way that works. What is planned and refused is told where it is written.

use causeway_api::conditions::{LEFT, is_good};
use causeway_api::{Change, Object, ObjectRef, Objects, StatusWriter, status_fields};
use causeway_kubernetes::{Events, Held, Lasting, News, Publisher, reference};
use tokio::time::Instant;

/// Publishes what lasts.
pub struct Bulletin {
    publisher: Publisher,
    /// By object and type of condition.
    lasting: Lasting<(ObjectRef, String)>,
}

impl Bulletin {
    /// Publishes by `events` while the Lease is held.
    pub fn new(events: Events, held: Held) -> Bulletin {
        Bulletin { publisher: Publisher::new(events, held), lasting: Lasting::default() }
    }

    /// Something is another.
    pub fn handle(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Applied(object) => self.look(object, now),
            Change::Deleted(key) => {
                let gone: Vec<_> = self.lasting.bad().filter(|(of, _)| of == key).cloned().collect();
                gone.iter().for_each(|matter| self.lasting.forget(matter));
            }
        }
    }

    /// How it is with an object.
    pub fn look(&mut self, object: &Object, now: Instant) {
        for (type_, news) in said(object) {
            if let Some(news) = self.lasting.is((object.key(), type_), news, now) {
                self.publisher.publish(reference(object), news);
            }
        }
    }

    /// Publishes what has lasted by now.
    pub fn publish_due(&mut self, objects: &Objects, now: Instant) {
        for ((key, _), news) in self.lasting.due(now) {
            if let Some(object) = objects.get(&key) {
                self.publisher.publish(reference(object), news);
            }
        }
    }

    /// When something is to be told though nothing changes.
    pub fn next_due(&self) -> Option<Instant> {
        self.lasting.next_due()
    }

    /// Goes on with what is being published. Giving up waiting loses nothing.
    pub async fn progress(&mut self) {
        self.publisher.progress().await;
    }
}

/// What a member's controller-manager says of an object, by type of condition. That a cluster leaves is what was asked.
fn said(object: &Object) -> Vec<(String, News)> {
    let (_, types) = status_fields(StatusWriter::ControllerManager, object.kind());
    let leaves = object.meta().deletion_timestamp.is_some();
    let said = object
        .conditions()
        .iter()
        .filter(|condition| condition.type_ != LEFT && types.contains(&condition.type_.as_str()));
    said.map(|condition| {
        let good = is_good(condition) || leaves;
        let message = match (good, condition.message.as_str()) {
            (true, "") => format!("{} is {} again", condition.type_, condition.status),
            (_, message) => message.to_owned(),
        };
        (condition.type_.clone(), News { good, reason: condition.reason.clone(), message })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use causeway_api::Kind;
    use serde_json::{Value, json};

    use super::*;

    fn cluster(metadata: Value, conditions: &[(&str, &str, &str)]) -> Object {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, message)| {
                json!({
                    "type": type_, "status": status, "reason": "R", "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                })
            })
            .collect();
        let value = json!({
            "apiVersion": causeway_api::API_VERSION, "kind": "Cluster", "metadata": metadata, "spec": {},
            "status": {"conditions": conditions},
        });
        Object::deserialize(Kind::Cluster, value).unwrap()
    }

    #[test]
    fn what_members_say_is_told_and_not_what_is_planned_here() {
        let conditions = [
            ("Programmed", "False", "n1: why"),
            ("Discovered", "True", ""),
            ("Accepted", "False", "planned"),
            ("Left", "False", ""),
        ];
        let told: Vec<(String, bool, String)> = said(&cluster(json!({"name": "east"}), &conditions))
            .into_iter()
            .map(|(type_, news)| (type_, news.good, news.message))
            .collect();
        let text = str::to_owned;
        assert_eq!(
            told,
            [
                (text("Programmed"), false, text("n1: why")),
                (text("Discovered"), true, text("Discovered is True again"))
            ]
        );
    }

    #[test]
    fn what_leaves_is_in_no_trouble() {
        let metadata = json!({"name": "east", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let told = said(&cluster(metadata, &[("Programmed", "False", "n1: why")]));
        assert!(told.iter().all(|(_, news)| news.good));
    }
}
