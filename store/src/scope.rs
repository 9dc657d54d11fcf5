//! Whose rows a view shows: a condition that every read of a snapshot carries, and that no request can widen.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The namespaces whose rows may be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every row, also those without a namespace: host processes, the nodes themselves, the loss ledger.
    #[default]
    All,
    /// Rows of these namespaces; never those without one.
    Namespaces(Arc<BTreeSet<String>>),
}

impl Scope {
    /// Rows of these namespaces.
    pub fn namespaces(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).filter(|name: &String| !name.is_empty());
        Self::Namespaces(Arc::new(names.collect()))
    }

    /// Whether every row may be seen.
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether rows of this namespace may be seen; '' is a row without one.
    pub fn allows(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(names) => !namespace.is_empty() && names.contains(namespace),
        }
    }

    /// What both allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope.clone(),
            (Self::Namespaces(these), Self::Namespaces(those)) => {
                Self::Namespaces(Arc::new(these.intersection(those).cloned().collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn a_scope_only_narrows() {
        let (shop, both) = (Scope::namespaces(["shop"]), Scope::namespaces(["shop", "bank", ""]));
        assert!(Scope::All.allows("") && both.allows("bank") && !both.allows("") && !shop.allows("bank"));
        assert_eq!(shop.and(&both), shop);
        assert_eq!(Scope::All.and(&shop), shop);
        assert_eq!(shop.and(&Scope::All), shop);
        assert!(!shop.and(&Scope::namespaces(["bank"])).allows("shop"));
    }
}
