//! Those who ask for root calls: each gets one answer, and it is the right one.

use super::plan::Plan;
use super::program::{Task, number, wrong};
use super::programs::Programs;
use crate::core::{Answer, Refusal};
use crate::model::{CallKey, Outcome};

#[derive(Debug, Default)]
pub struct Callers(Vec<Caller>);

/// One of them; its token is its position.
#[derive(Debug)]
struct Caller {
    task: Task,
    has_timeout: bool,
    call: Option<CallKey>,
    /// It went away, and waits for nothing.
    has_left: bool,
    is_done: bool,
}

impl Callers {
    pub fn asked(&self) -> u32 {
        self.0.len() as u32
    }

    /// Somebody is about to ask; answers the token.
    pub fn expect(&mut self, task: Task, has_timeout: bool) -> u64 {
        self.0.push(Caller { task, has_timeout, call: None, has_left: false, is_done: false });
        self.0.len() as u64 - 1
    }

    pub fn accepted(&mut self, token: u64, call: CallKey) {
        self.0[token as usize].call = Some(call);
    }

    pub fn refused(&mut self, token: u64, refusal: &Refusal, plan: &Plan) {
        let is_expected = !plan.habits.is_calm || refusal.reason == crate::core::Reason::Stopping;
        assert!(is_expected, "nothing is refused in a calm world: {refusal:?}");
        self.done(token);
    }

    /// A call of somebody, who leaves.
    pub fn leave(&mut self, at: usize) -> Option<CallKey> {
        let caller = self.0.get_mut(at)?;
        caller.has_left = true;
        caller.call
    }

    pub fn forgotten(&mut self, token: u64) {
        assert!(self.0[token as usize].has_left, "only who left is forgotten");
        self.done(token);
    }

    pub fn answered(&mut self, token: u64, answer: Answer, plan: &Plan, programs: &Programs) {
        let caller = &self.0[token as usize];
        match answer {
            Answer::Done(outcome) => caller.check(&outcome, plan, programs),
            Answer::Expired => assert!(caller.has_timeout, "only what has a deadline expires"),
            Answer::Refused(refusal) => {
                assert!(!plan.habits.is_calm, "nothing is refused in a calm world: {refusal:?}");
            }
        }
        self.done(token);
    }

    fn done(&mut self, token: u64) {
        let caller = &mut self.0[token as usize];
        assert!(!std::mem::replace(&mut caller.is_done, true), "a root is answered once");
    }

    pub fn check_all_answered(&self) {
        for (token, caller) in self.0.iter().enumerate() {
            assert!(caller.is_done, "root {token} has no answer: {caller:?}");
        }
    }
}

impl Caller {
    fn check(&self, outcome: &Outcome, plan: &Plan, programs: &Programs) {
        // Neither who lies nor who asks for something else each time has a right value.
        if plan.faults.rogue > 0 || plan.habits.fickle > 0 {
            return;
        }
        let expected = programs.result(self.task);
        match outcome {
            Outcome::Value(payload) => {
                let (value, is_tainted) = number(payload);
                let is_right = is_tainted && !plan.habits.is_calm || expected == Some(value);
                assert!(is_right, "{:?} gave {value}, not {expected:?}", self.task);
            }
            Outcome::Error(error) => {
                let is_expected = expected.is_none() || !plan.habits.is_calm;
                assert!(is_expected, "{:?} failed in a calm world", self.task);
                assert!(*error != wrong() || expected.is_none(), "{:?} raises nothing", self.task);
            }
        }
    }
}
