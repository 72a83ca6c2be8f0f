//! Many objects by their keys, and the changes that bring one collection to another. Every source of
//! objects (a directory, an API server) speaks in these.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::{CausewayObject, Object, ObjectRef};

/// A change of one object.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// It is new or different.
    Applied(Arc<Object>),
    /// It is gone.
    Deleted(ObjectRef),
}

impl Change {
    /// Which object.
    pub fn key(&self) -> ObjectRef {
        match self {
            Change::Applied(object) => object.key(),
            Change::Deleted(key) => key.clone(),
        }
    }
}

/// Objects, ordered by kind, namespace and name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Objects(BTreeMap<ObjectRef, Arc<Object>>);

impl Objects {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.0.values()
    }

    /// Those of one kind, ordered by namespace and name.
    pub fn all<K: CausewayObject>(&self) -> impl Iterator<Item = &K> {
        let first = ObjectRef { kind: K::KIND, namespace: None, name: String::new() };
        self.0
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(|(key, _)| key.kind == K::KIND)
            .filter_map(|(_, object)| K::from_object(object))
    }

    /// One object.
    pub fn get(&self, key: &ObjectRef) -> Option<&Arc<Object>> {
        self.0.get(key)
    }

    /// One object, if it is there and of kind `K`.
    pub fn get_as<K: CausewayObject>(&self, key: &ObjectRef) -> Option<&K> {
        self.0.get(key).and_then(|object| K::from_object(object))
    }

    /// Puts `object` in, and says whether that is a change.
    pub fn put(&mut self, object: Arc<Object>) -> Option<Change> {
        let key = object.key();
        if self.0.get(&key) == Some(&object) {
            return None;
        }
        self.0.insert(key, object.clone());
        Some(Change::Applied(object))
    }

    /// Takes an object out, and says whether that is a change.
    pub fn take(&mut self, key: &ObjectRef) -> Option<Change> {
        self.0.remove(key).map(|_| Change::Deleted(key.clone()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Arc<Object>> for Objects {
    fn from_iter<I: IntoIterator<Item = Arc<Object>>>(objects: I) -> Self {
        Objects(objects.into_iter().map(|object| (object.key(), object)).collect())
    }
}
