//! What the hub did and why, as it stands in `.msx/events.jsonl`: one JSON object on each line.

use serde::{Deserialize, Serialize};

/// One thing that the hub did, or that happened to what it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubEvent {
    /// RFC 3339, UTC, with milliseconds.
    pub at: String,
    pub kind: EventKind,
    /// Canonical name; absent where it is about the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What a person calls it: a service (`a`), an instance (`a-1`) or `hub`.
    pub subject: String,
    /// Instances before and after, where their number changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// Why, with the numbers that decided.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The hub began.
    Up,
    /// The hub ends.
    Down,
    /// The autoscaler changed the number of instances.
    Scaled,
    /// A person or a program fixed it.
    Pinned,
    /// … or gave it back to the autoscaler.
    Released,
    /// An instance ended unasked, and is started again.
    Exited,
    /// It did so too often.
    Crashloop,
    /// It did what it had to, and is not started again.
    Completed,
    /// It ended otherwise than well, and is not started again.
    Failed,
    /// It failed too many requests, and gets none for a while.
    Ejected,
    /// It is ready after that.
    Recovered,
    /// An instance that does not answer is replaced.
    Replaced,
    /// A rolling restart is over.
    Rolled,
    /// A rolling restart failed, and the old instances go on.
    RollFailed,
    Paused,
    Resumed,
    /// Written by an msx that knows more.
    #[serde(other)]
    Other,
}

impl EventKind {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Scaled => "scaled",
            Self::Pinned => "pinned",
            Self::Released => "released",
            Self::Exited => "exited",
            Self::Crashloop => "crashloop",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Ejected => "ejected",
            Self::Recovered => "recovered",
            Self::Replaced => "replaced",
            Self::Rolled => "rolled",
            Self::RollFailed => "roll failed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Other => "other",
        }
    }

    /// Whether it says how many instances there are to be.
    pub fn is_step(self) -> bool {
        matches!(self, Self::Scaled | Self::Pinned | Self::Released)
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Canonical name of the service, if it is about one.
    pub service: Option<&'a str>,
    /// A service, an instance or `hub`.
    pub shown: &'a str,
}

impl Subject<'_> {
    pub const HUB: Self = Self { service: None, shown: "hub" };
}

impl HubEvent {
    /// Whether `name`, canonical or short, is the service that it is about.
    pub fn is_of(&self, name: &str) -> bool {
        let service = self.service.as_deref();
        service.is_some_and(|service| service == name || service.rsplit('.').next() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_event() {
        let event = HubEvent {
            at: "2026-11-24T10:00:00.123Z".to_owned(),
            kind: EventKind::Scaled,
            service: Some("shop.order".to_owned()),
            subject: "order".to_owned(),
            from: Some(1),
            to: Some(3),
            text: "1 → 3: queue 7".to_owned(),
        };
        let line = r#"{"at":"2026-11-24T10:00:00.123Z","kind":"scaled","service":"shop.order","subject":"order","from":1,"to":3,"text":"1 → 3: queue 7"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<HubEvent>(line).unwrap(), event);
        assert!(
            event.is_of("order") && event.is_of("shop.order") && !event.is_of("shop") && !event.is_of("der")
        );
        let newer = r#"{"at":"","kind":"moved","subject":"hub","text":""}"#;
        assert_eq!(serde_json::from_str::<HubEvent>(newer).unwrap().kind, EventKind::Other);
    }
}
