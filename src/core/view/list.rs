//! `msx calls`: the live calls, and the root calls that ended lately.

use std::time::Instant;

use super::{Labels, rounded, seconds, status, status_of_end};
use crate::calls::Call;
use crate::calls::history::{EndedRoot, Node};
use crate::core::Core;
use crate::model::ServiceId;
use crate::protocol::calls::{CallInfo, CallStatus, CallsAnswer};

/// Which calls are listed.
pub struct Filter {
    pub status: Option<CallStatus>,
    pub service: Option<ServiceId>,
    /// The longest list of live calls, and of ended ones.
    pub limit: usize,
}

impl Filter {
    fn takes(&self, status: CallStatus, service: ServiceId) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
            && self.service.is_none_or(|wanted| wanted == service)
    }
}

impl Core {
    pub fn list(&self, now: Instant, filter: &Filter, labels: Labels<'_>) -> CallsAnswer {
        let live = self.calls.iter().filter(|(_, call)| filter.takes(status(call), call.service));
        let mut live: Vec<&Call> = live.map(|(_, call)| call).collect();
        live.sort_by_key(|call| {
            (call.parent.is_some(), call.tree, call.depth, call.accepted, call.parent.map(|(_, seq)| seq))
        });
        let ended = self.history.ended_roots(now).filter(|root| {
            let end = root.node.ended.map(|(_, end)| status_of_end(end));
            end.is_some_and(|end| filter.takes(end, root.node.service))
        });
        let ended: Vec<&EndedRoot> = ended.collect();
        let more = |all: usize| all.saturating_sub(filter.limit) as u64;
        CallsAnswer {
            more_live: more(live.len()),
            more_ended: more(ended.len()),
            live: live.into_iter().take(filter.limit).map(|call| self.info(now, call, labels)).collect(),
            ended: ended
                .into_iter()
                .take(filter.limit)
                .map(|root| self.ended_info(now, root, labels))
                .collect(),
        }
    }

    fn ended_info(&self, now: Instant, root: &EndedRoot, labels: Labels<'_>) -> CallInfo {
        let node = &root.node;
        let (at, end) = node.ended.map_or((now, CallStatus::Returned), |(at, end)| (at, status_of_end(end)));
        CallInfo {
            id: self.id_at(root.root, &[]),
            service: self.name(node.service),
            status: end,
            instance: label(node, labels),
            age_s: seconds(now, node.queued),
            since_s: seconds(now, at),
            took_s: Some(rounded(at.saturating_duration_since(node.queued))),
            children: u64::from(node.children),
            unfinished: 0,
            summary: root.summary.as_deref().map(str::to_owned),
            batch: self.batch_info(root.root, node),
        }
    }
}

/// The instance that a call ran in last.
pub fn label(node: &Node, labels: Labels<'_>) -> Option<String> {
    (node.instance > 0).then(|| labels(node.service, node.instance))
}
