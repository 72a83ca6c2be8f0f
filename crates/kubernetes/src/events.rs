//! Kubernetes Events for what a person must know: a condition of an object that turned bad, or good again.

use std::future::pending;

use causeway_api::conditions::is_good;
use causeway_api::{API_VERSION, Object};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_client::Client;
use kube_runtime::events::{Event, EventType, Recorder};

use crate::Held;

/// What an Event's note holds at most, in bytes.
const NOTE: usize = 1000;

/// Publishes Events. The same one again within some minutes counts up instead.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    action: &'static str,
}

/// Publishes Events behind the back of a loop that goes on, while the Lease is held.
pub struct Publisher {
    events: Events,
    held: Held,
    under_way: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Publisher {
    /// Publishes by `events` while `held` is.
    pub fn new(events: Events, held: Held) -> Publisher {
        Publisher { events, held, under_way: FuturesUnordered::new() }
    }

    /// Begins to tell `news` of `about`.
    pub fn publish(&mut self, about: ObjectReference, news: News) {
        if self.held.is_held() {
            let events = self.events.clone();
            self.under_way.push(async move { events.publish_about(&about, &news).await }.boxed());
        }
    }

    /// Goes on with what is being published. Giving up waiting loses nothing.
    pub async fn progress(&mut self) {
        if self.under_way.next().await.is_none() {
            pending().await
        }
    }
}

/// What Events about an object of ours are attached to.
pub fn reference(object: &Object) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(object.kind().as_str().to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Something to be told about an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// Whether it is good.
    pub good: bool,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
}

impl Events {
    /// Publishes as `manager`, a program's name, which does `action`, as one CamelCase word.
    pub fn new(client: Client, manager: &str, action: &'static str) -> Events {
        Events { recorder: Recorder::new(client, manager.into()), action }
    }

    /// Tells `news` of `object`. One that cannot be told is logged: it stands in a condition too.
    pub async fn publish(&self, object: &Object, news: &News) {
        self.publish_about(&reference(object), news).await;
    }

    /// Tells `news` of any object. One that cannot be told is logged for who looks closely.
    pub async fn publish_about(&self, about: &ObjectReference, news: &News) {
        let mut note = news.message.clone();
        note.truncate(note.floor_char_boundary(NOTE));
        let event = Event {
            type_: if news.good { EventType::Normal } else { EventType::Warning },
            reason: news.reason.clone(),
            note: Some(note),
            action: self.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::debug!(kind = ?about.kind, name = ?about.name, %error, "Event not published");
        }
    }
}

/// What is to be told when conditions `before` become those `after`: what turned bad, or bad for another
/// reason, and what is good again.
pub fn news(before: &[Condition], after: &[Condition]) -> Vec<News> {
    let told = |condition: &Condition| {
        let old = before.iter().find(|old| old.type_ == condition.type_);
        let good = is_good(condition);
        let is_news = match old {
            None => !good,
            Some(old) => old.status != condition.status || (!good && old.reason != condition.reason),
        };
        let message = if condition.message.is_empty() {
            format!("{} is {} again", condition.type_, condition.status)
        } else {
            condition.message.clone()
        };
        is_news.then(|| News { good, reason: condition.reason.clone(), message })
    };
    after.iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn what_turns_bad_and_good_again_is_told_once() {
        let good = [condition("Accepted", "True", "Accepted"), condition("Degraded", "False", "AsAsked")];
        let bad =
            [condition("Accepted", "False", "PrefixConflict"), condition("Degraded", "False", "AsAsked")];
        let other =
            [condition("Accepted", "False", "InvalidValue"), condition("Degraded", "True", "TooFewGateways")];
        let reasons = |before: &[Condition], after: &[Condition]| {
            news(before, after).iter().map(|news| (news.good, news.reason.clone())).collect::<Vec<_>>()
        };
        assert_eq!(reasons(&[], &good), []);
        assert_eq!(reasons(&[], &bad), [(false, "PrefixConflict".to_owned())]);
        assert_eq!(reasons(&bad, &bad), []);
        let worse = [(false, "InvalidValue".to_owned()), (false, "TooFewGateways".to_owned())];
        assert_eq!(reasons(&bad, &other), worse);
        let again = [(true, "Accepted".to_owned()), (true, "AsAsked".to_owned())];
        assert_eq!(reasons(&other, &good), again);
    }
}
