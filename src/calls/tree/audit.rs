//! What holds of all calls together between any two events; the simulation looks after each of its steps.

use super::{Call, CallKey, Calls};

impl Calls {
    pub fn audit(&self) {
        let mut counted: Vec<(CallKey, u32, u64)> = self.roots.keys().map(|root| (*root, 0, 0)).collect();
        for (key, call) in self.iter() {
            call.audit();
            self.audit_family(key, call);
            let root = counted.iter_mut().find(|(root, ..)| *root == call.root);
            let (_, unfinished, bytes) = root.expect("the root of a call has not ended");
            *unfinished += 1;
            *bytes += call.recorded_bytes;
        }
        for (key, unfinished, bytes) in counted {
            let root = &self.roots[&key];
            assert_eq!(root.unfinished, unfinished, "unfinished calls of a root are counted");
            assert_eq!(root.recorded_bytes, bytes, "recorded bytes of a root are counted");
        }
    }

    fn audit_family(&self, key: CallKey, call: &Call) {
        match call.parent {
            None => assert_eq!((call.root, call.depth), (key, 0), "a call without a parent is a root"),
            Some((parent, seq)) => {
                let parent = self.get(parent).expect("no child outlives its parent");
                assert_eq!(parent.pending_child(seq), Some(key), "a call is the child of its parent");
                assert_eq!((call.root, call.depth), (parent.root, parent.depth + 1));
                assert_eq!(call.root_age, parent.root_age);
                let is_later = |at| call.deadline.is_none_or(|own| own > at);
                assert!(!parent.deadline.is_some_and(is_later), "a deadline only shrinks on its way down");
            }
        }
        for child in call.pending_children() {
            let child = self.get(child).expect("a call waits for what lives");
            assert_eq!(
                child.parent.map(|(parent, _)| parent),
                Some(key),
                "a child is waited for by its parent"
            );
        }
    }
}
