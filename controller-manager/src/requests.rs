//! One request to an API server: where it goes, and how it ended.

use causeway_api::CLEANUP_FINALIZER;
use causeway_kubernetes::{Held, RequestError, Writer};
use futures::future::{BoxFuture, FutureExt};

use crate::item::Item;
use crate::view::Action;

/// Where a request goes.
#[derive(Clone, Copy)]
pub enum Place {
    /// To the hub's API server.
    Hub,
    /// To the member's.
    Member,
}

/// How a request for an item ended.
pub type Ended = (Place, Item, Result<(), RequestError>);

/// Does `action` for `item`, unless the Lease is lost by then.
pub fn send(
    hub: Writer,
    member: Writer,
    held: Held,
    item: Item,
    action: Action,
) -> BoxFuture<'static, Ended> {
    async move {
        let place = place(&action);
        let result = if held.is_held() { perform(&hub, &member, action).await } else { Ok(()) };
        (place, item, result)
    }
    .boxed()
}

fn place(action: &Action) -> Place {
    match action {
        Action::HubApply(_) | Action::HubStatus(..) | Action::HubDelete(..) => Place::Hub,
        Action::MemberApply(_) | Action::MemberDelete(..) | Action::MemberRelease(..) => Place::Member,
    }
}

async fn perform(hub: &Writer, member: &Writer, action: Action) -> Result<(), RequestError> {
    match action {
        Action::HubApply(object) => hub.apply(&object).await,
        Action::HubStatus(key, status) => hub.apply_status(&key, &status).await,
        Action::HubDelete(key, uid) => hub.delete(&key, uid).await,
        Action::MemberApply(object) => member.apply(&object).await,
        Action::MemberDelete(key, uid) => member.delete(&key, uid).await,
        Action::MemberRelease(key, uid) => member.release(&key, uid.as_deref(), CLEANUP_FINALIZER).await,
    }
}
