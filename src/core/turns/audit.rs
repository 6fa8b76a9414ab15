//! What holds of the turns between any two events; the simulation of the core looks after each of its steps.

use super::{Turns, name_of, order};
use crate::calls::{Call, Calls, Place};
use crate::core::Service;
use crate::model::ServiceId;

impl Turns {
    pub fn audit(&self, calls: &Calls, services: &[Service]) {
        let mut held = 0;
        for (name, turn) in &self.keys {
            let limit = services[name.0.0 as usize].setup.per_key.expect("only limited services have turns");
            let taken =
                calls.iter().filter(|(_, call)| call.has_turn && name_of(call).as_ref() == Some(name));
            assert_eq!(turn.taken as usize, taken.count(), "a turn belongs to a call that lives");
            assert!(turn.taken <= limit, "turns stay within their limit");
            assert!(turn.waiting.is_empty() || turn.taken == limit, "nobody waits beside a free turn");
            for (at, key) in &turn.waiting {
                let call = calls.get(*key).expect("who waits for a turn lives");
                let Place::Held(arrival) = call.place else { panic!("{:?} waits for a turn", call.place) };
                assert_eq!(*at, order(call, arrival), "it waits in its order");
            }
            held += turn.waiting.len();
        }
        let places = calls.iter().filter(|(_, call)| matches!(call.place, Place::Held(_))).count();
        assert_eq!(held, places, "a held call waits for a turn");
        for at in 0..services.len() {
            let service = ServiceId(at as u32);
            let waits = |call: &Call| call.service == service && matches!(call.place, Place::Held(_));
            let roots = calls.iter().filter(|(_, call)| waits(call) && call.parent.is_none()).count();
            assert_eq!(self.waiting_roots(service) as usize, roots, "waiting roots are counted");
        }
    }

    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.waiting_roots.is_empty()
    }
}
