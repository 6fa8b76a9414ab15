//! The life of an instance as one table: which state follows which event. Pure.
//!
//! ```text
//!         hello or probe        retire            drained          exit, grace              grace
//!  Starting ─────────▶ Ready ─────────▶ Draining ────────▶ Finishing ────────▶ Terminating ───────▶ Killing
//!     │  │               │ │                                                        │                  │
//!     │  └──── channel ──┘ └─ ignored its run_timeout ─▶ Condemned ─▶ Killing       └──── empty ───────┤
//!     │         broke: Severed ─▶ Failing                                                              ▼
//!     └─ exit ─▶ Backoff / Crashloop ─▶ Starting (the next process in this place)                   Stopped
//!             └▶ Completed / Failed (programs that are not started again)
//!
//! Of a program: Ready ◀── probe ──▶ Unready, which drains and ends as Ready does.
//! ```

use super::restarts::Verdict;
use crate::protocol::control::InstanceState;

/// Where an instance (a place, and the process that has it now) is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The process was asked for and has not said hello.
    Starting,
    /// It said hello and receives calls.
    Ready,
    /// A program whose ready probe fails: it runs, and receives nothing.
    Unready,
    /// Its control channel broke. A moment is left for it to end by itself, so that its exit status is its own.
    Severed,
    /// It was killed because it failed; the place will be filled again.
    Failing,
    /// No new work; the core reports when its last call has ended.
    Draining,
    /// A call ignored its run_timeout: like draining, but soon killed.
    Condemned,
    /// Told to run its `on_stop` hooks and to exit.
    Finishing,
    /// `stop.signal` was sent to its group.
    Terminating,
    /// KILL was sent to its group, and the place is given up.
    Killing,
    /// No process; the next one comes after the delay.
    Backoff,
    /// No process; it failed too often and is tried again now and then.
    Crashloop,
    /// No process: it did what it is for.
    Completed,
    /// No process: it failed, and is not started again.
    Failed,
    /// The group is proven empty and the place is given up.
    Stopped,
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The delay is over, or a person does not want to wait for it.
    Start,
    /// It said hello, or its ready probe passes.
    Hello,
    /// Its ready probe fails.
    Unfit,
    /// The control channel broke.
    Severed,
    /// A call ignored its run_timeout.
    Condemn,
    /// It cannot stay as it is and must be replaced at once.
    Fail,
    /// It is not wanted any more.
    Retire,
    /// The core has no call in it any more.
    Drained,
    /// The time that this state may last is over.
    Expired,
    /// The process ended. The verdict counts if that was not asked for.
    Exited(Verdict),
    /// Nobody is left in its process group.
    Emptied,
    /// No more patience: KILL.
    Kill,
}

/// An event that makes no sense in this state: a defect somewhere, and without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    pub state: State,
    pub event: Event,
}

/// The whole table. News that is late but harmless leaves the state as it is.
pub fn transition(state: State, event: Event) -> Result<State, Illegal> {
    use State::*;
    let next = match state {
        Starting => match event {
            Event::Hello => Ready,
            Event::Unfit => Unready,
            Event::Severed => Severed,
            Event::Fail | Event::Expired => Failing,
            Event::Retire => Terminating,
            Event::Exited(verdict) => after(verdict),
            Event::Kill => Killing,
            Event::Start | Event::Condemn | Event::Drained | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Ready => match event {
            Event::Unfit => Unready,
            Event::Severed => Severed,
            Event::Fail => Failing,
            Event::Condemn => Condemned,
            Event::Retire => Draining,
            Event::Exited(verdict) => after(verdict),
            Event::Kill => Killing,
            Event::Start | Event::Hello | Event::Drained | Event::Expired | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Unready => match event {
            Event::Hello => Ready,
            Event::Unfit => Unready,
            Event::Fail => Failing,
            Event::Retire => Draining,
            Event::Exited(verdict) => after(verdict),
            Event::Kill => Killing,
            Event::Start
            | Event::Severed
            | Event::Condemn
            | Event::Drained
            | Event::Expired
            | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Severed | Failing => match event {
            Event::Expired | Event::Fail => Failing,
            Event::Exited(verdict) => after(verdict),
            Event::Retire | Event::Kill => Killing,
            Event::Hello | Event::Unfit | Event::Severed | Event::Condemn | Event::Drained => state,
            Event::Start | Event::Emptied => return Err(Illegal { state, event }),
        },
        Draining => match event {
            Event::Drained | Event::Expired => Finishing,
            Event::Condemn => Condemned,
            // What was left in it cannot end well without the channel or the process.
            Event::Severed | Event::Fail | Event::Exited(_) | Event::Kill => Killing,
            Event::Retire | Event::Hello | Event::Unfit => Draining,
            Event::Start | Event::Emptied => return Err(Illegal { state, event }),
        },
        Condemned => match event {
            Event::Drained | Event::Expired | Event::Severed => Killing,
            Event::Fail | Event::Exited(_) | Event::Kill => Killing,
            Event::Retire | Event::Condemn => Condemned,
            Event::Start | Event::Hello | Event::Unfit | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Finishing => match event {
            // Its own exit leaves the rest of the group, which is asked in turn.
            Event::Exited(_) | Event::Expired => Terminating,
            Event::Kill => Killing,
            Event::Severed | Event::Retire | Event::Condemn | Event::Drained | Event::Fail => Finishing,
            Event::Start | Event::Hello | Event::Unfit | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Terminating => match event {
            Event::Expired | Event::Kill => Killing,
            Event::Emptied => Stopped,
            Event::Exited(_) | Event::Hello | Event::Unfit | Event::Severed | Event::Retire => Terminating,
            Event::Drained | Event::Condemn | Event::Fail => Terminating,
            Event::Start => return Err(Illegal { state, event }),
        },
        Killing => match event {
            Event::Emptied => Stopped,
            Event::Expired | Event::Exited(_) | Event::Hello | Event::Severed | Event::Retire => Killing,
            Event::Unfit | Event::Drained | Event::Condemn | Event::Fail | Event::Kill => Killing,
            Event::Start => return Err(Illegal { state, event }),
        },
        Backoff | Crashloop => match event {
            Event::Start | Event::Expired => Starting,
            Event::Retire | Event::Kill => Stopped,
            // What shards and core say can cross the exit.
            Event::Hello | Event::Unfit | Event::Severed | Event::Drained | Event::Condemn => state,
            Event::Fail | Event::Exited(_) | Event::Emptied => {
                return Err(Illegal { state, event });
            }
        },
        Completed | Failed => match event {
            Event::Start => Starting,
            Event::Retire | Event::Kill => Stopped,
            Event::Hello | Event::Unfit | Event::Drained => state,
            Event::Severed | Event::Condemn | Event::Expired => return Err(Illegal { state, event }),
            Event::Fail | Event::Exited(_) | Event::Emptied => return Err(Illegal { state, event }),
        },
        Stopped => return Err(Illegal { state, event }),
    };
    Ok(next)
}

fn after(verdict: Verdict) -> State {
    match verdict {
        Verdict::Backoff(_) => State::Backoff,
        Verdict::Crashloop(_) => State::Crashloop,
        Verdict::Complete => State::Completed,
        Verdict::Fail => State::Failed,
    }
}

impl State {
    /// Whether it counts towards the wanted number: it serves, or it or its successor will.
    pub fn is_active(self) -> bool {
        use State::*;
        matches!(
            self,
            Starting | Ready | Unready | Severed | Failing | Backoff | Crashloop | Completed | Failed
        )
    }

    /// Whether it is as it should be.
    pub fn is_well(self) -> bool {
        matches!(self, State::Ready | State::Completed)
    }

    /// Whether it has no process.
    pub fn is_vacant(self) -> bool {
        matches!(self, State::Backoff | State::Crashloop | State::Completed | State::Failed)
    }

    /// What `msx ps` shows.
    pub fn shown(self) -> InstanceState {
        use State::*;
        match self {
            Starting => InstanceState::Starting,
            Ready => InstanceState::Ready,
            Unready => InstanceState::Unready,
            Severed | Failing | Draining | Condemned | Finishing | Terminating | Killing => {
                InstanceState::Draining
            }
            Backoff => InstanceState::Backoff,
            Crashloop => InstanceState::Crashloop,
            Completed => InstanceState::Completed,
            Failed => InstanceState::Failed,
            Stopped => InstanceState::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BACKOFF: Verdict = Verdict::Backoff(Duration::from_millis(100));
    const CRASHLOOP: Verdict = Verdict::Crashloop(Duration::from_secs(30));

    /// The whole table, to be read by a person: `.` leaves the state as it is, `-` is illegal.
    const TABLE: &str = "
                 start      hello      unfit      severed    condemn    fail       retire      drained    expired     exited      emptied  kill
    Starting     -          Ready      Unready    Severed    -          Failing    Terminating -          Failing     Backoff     -        Killing
    Ready        -          -          Unready    Severed    Condemned  Failing    Draining    -          -           Backoff     -        Killing
    Unready      -          Ready      .          -          -          Failing    Draining    -          -           Backoff     -        Killing
    Severed      -          .          .          .          .          Failing    Killing     .          Failing     Backoff     -        Killing
    Failing      -          .          .          .          .          .          Killing     .          .           Backoff     -        Killing
    Draining     -          .          .          Killing    Condemned  Killing    .           Finishing  Finishing   Killing     -        Killing
    Condemned    -          -          -          Killing    .          Killing    .           Killing    Killing     Killing     -        Killing
    Finishing    -          -          -          .          .          .          .           .          Terminating Terminating -        Killing
    Terminating  -          .          .          .          .          .          .           .          Killing     .           Stopped  Killing
    Killing      -          .          .          .          .          .          .           .          .           .           Stopped  .
    Backoff      Starting   .          .          .          .          -          Stopped     .          Starting    -           -        Stopped
    Crashloop    Starting   .          .          .          .          -          Stopped     .          Starting    -           -        Stopped
    Completed    Starting   .          .          -          -          -          Stopped     .          -           -           -        Stopped
    Failed       Starting   .          .          -          -          -          Stopped     .          -           -           -        Stopped
    Stopped      -          -          -          -          -          -          -           -          -           -           -        -
    ";

    #[test]
    fn the_table_is_as_written() {
        use State::*;
        let events = [
            Event::Start,
            Event::Hello,
            Event::Unfit,
            Event::Severed,
            Event::Condemn,
            Event::Fail,
            Event::Retire,
            Event::Drained,
            Event::Expired,
            Event::Exited(BACKOFF),
            Event::Emptied,
            Event::Kill,
        ];
        let states = [
            Starting,
            Ready,
            Unready,
            Severed,
            Failing,
            Draining,
            Condemned,
            Finishing,
            Terminating,
            Killing,
            Backoff,
            Crashloop,
            Completed,
            Failed,
            Stopped,
        ];
        let rows: Vec<&str> = TABLE.lines().filter(|line| !line.trim().is_empty()).skip(1).collect();
        assert_eq!(rows.len(), states.len());
        for (state, row) in states.into_iter().zip(rows) {
            let cells = events.map(|event| match transition(state, event) {
                Ok(next) if next == state => ".".to_owned(),
                Ok(next) => format!("{next:?}"),
                Err(illegal) => {
                    assert_eq!(illegal, Illegal { state, event });
                    "-".to_owned()
                }
            });
            let expected: Vec<&str> = row.split_whitespace().skip(1).collect();
            assert_eq!(cells.to_vec(), expected, "row {state:?}");
        }
    }

    #[test]
    fn the_verdict_decides_what_becomes_of_a_place_without_a_process() {
        for (verdict, state) in [
            (CRASHLOOP, State::Crashloop),
            (Verdict::Complete, State::Completed),
            (Verdict::Fail, State::Failed),
        ] {
            assert_eq!(transition(State::Ready, Event::Exited(verdict)), Ok(state));
            assert_eq!(transition(State::Starting, Event::Exited(verdict)), Ok(state));
        }
    }
}
