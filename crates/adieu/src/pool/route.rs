//! Where a request belongs: its origin, its partition and its runtime, found without building anything.

use std::hash::{BuildHasher, Hash, Hasher};

use adieu_proto::shelf::Origin;
use hashbrown::{DefaultHashBuilder, HashTable};
use http::Uri;

use crate::connect::Scheme;
use crate::rt::RuntimeId;

/// What keeps connections apart that would otherwise be shared: a tenant, an account.
pub(crate) type Partition = std::sync::Arc<str>;

/// Where a request belongs. Nothing is shared among partitions, and a connection belongs to its runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'r> {
    pub(crate) uri: &'r Uri,
    pub(crate) partition: Option<&'r Partition>,
    pub(crate) runtime: RuntimeId,
}

/// The origins, by the words in which requests name them. One origin may have several: `host`, `host:80`, `HOST`.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: HashTable<Name>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Name {
    scheme: Scheme,
    authority: Box<str>,
    partition: Option<Partition>,
    runtime: RuntimeId,
    origin: Origin,
}

/// So many names; whoever makes up more has his forgotten.
const MOST: usize = 8_192;

impl Route<'_> {
    fn words(&self) -> Option<(Scheme, &str)> {
        let scheme = match self.uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some((scheme, self.uri.authority()?.as_str()))
    }
}

impl Names {
    pub(super) fn find(&self, route: &Route<'_>) -> Option<Origin> {
        let words = route.words()?;
        let hash = hash_of(&self.hasher, words.1, route.partition);
        let is_it = |name: &Name| {
            (name.scheme, &*name.authority) == words
                && name.runtime == route.runtime
                && name.partition.as_ref() == route.partition
        };
        self.table.find(hash, is_it).map(|name| name.origin)
    }

    /// From now on these words mean that origin.
    pub(super) fn add(&mut self, route: &Route<'_>, origin: Origin) {
        let Some(words) = route.words() else { return };
        if self.table.len() >= MOST {
            self.table.clear();
        }
        let hash = hash_of(&self.hasher, words.1, route.partition);
        let name = Name {
            scheme: words.0,
            authority: words.1.into(),
            partition: route.partition.cloned(),
            runtime: route.runtime,
            origin,
        };
        let hasher = &self.hasher;
        self.table
            .insert_unique(hash, name, |name| hash_of(hasher, &name.authority, name.partition.as_ref()));
    }

    /// No words mean that origin any more.
    pub(super) fn remove(&mut self, origin: Origin) {
        self.table.retain(|name| name.origin != origin);
    }
}

fn hash_of(hasher: &DefaultHashBuilder, authority: &str, partition: Option<&Partition>) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(authority.as_bytes());
    // Of schemes and runtimes there are few: the comparison tells them apart.
    if let Some(partition) = partition {
        partition.hash(&mut state);
    }
    state.finish()
}
