//! What holds of the idempotency keys between any two events; the simulation of the core looks after each of its steps.

use super::{Keys, Known, State, name_of, size};
use crate::calls::{Calls, Place};

impl Keys {
    pub fn audit(&self, calls: &Calls) {
        let (mut followers_all, mut done, mut bytes) = (0, 0, 0);
        for (name, Known { state, .. }) in &self.known {
            match state {
                State::Running { leader, followers } => {
                    let call = calls.get(*leader).expect("who works under a key lives");
                    assert!(call.place != Place::Following && name_of(call).as_ref() == Some(name));
                    for follower in followers {
                        let call = calls.get(*follower).expect("a follower lives");
                        assert!(call.place == Place::Following && name_of(call).as_ref() == Some(name));
                    }
                    followers_all += followers.len();
                }
                State::Done(value) => {
                    done += 1;
                    bytes += size(name, value);
                }
            }
        }
        let places = calls.iter().filter(|(_, call)| call.place == Place::Following).count();
        assert_eq!(followers_all, places, "who follows is known to whom it follows");
        assert_eq!((self.kept.len(), self.kept_bytes), (done, bytes), "what is kept is counted");
    }

    pub fn is_idle(&self) -> bool {
        self.known.len() == self.kept.len()
    }
}
