//! The settings of one service with a `command`: its section over the defaults, and what must fit together.

use super::{Check, CommandSpec, Probe, RestartPolicy, Serving, Target, Until, names};
use super::{PORT, SOCKET};
use crate::config::diagnostics::{Diagnostics, Problem};
use crate::config::place::{Located, Place};
use crate::config::schema::{Service, ServiceLayer};

/// Lays the section of a service over the defaults.
pub fn lay(defaults: &ServiceLayer, own: &ServiceLayer, problems: &mut Diagnostics) -> Service {
    let mut defaults = defaults.clone();
    let is_balanced = serving(own) != Serving::Nothing;
    if !is_balanced {
        // That other services have several instances says nothing about a database.
        (defaults.min, defaults.max) = (None, None);
    }
    let mut settings = Service::lay(&[&defaults, own]);
    if !is_balanced {
        fix_number(&mut settings, problems);
    }
    settings
}

/// Nothing but requests tells how many instances are needed.
fn fix_number(settings: &mut Service, problems: &mut Diagnostics) {
    let is_silent = |bound: &Located<u32>| matches!(bound.place, Place::Default);
    match (is_silent(&settings.min), is_silent(&settings.max)) {
        (_, true) => settings.max = Located::new(settings.min.value, settings.min.place.clone()),
        (true, false) => settings.min = settings.max.clone(),
        (false, false) if settings.min.value != settings.max.value => {
            let problem = Problem::new(
                "the number of instances of a program that is not balanced does not change by itself",
            );
            let help = "write one number: `instances = 2`; or let it serve on `$PORT`";
            problems.add(problem.at(&settings.min.place, "a range").help(help));
        }
        (false, false) => (),
    }
}

/// How its instances take connections, by what its section says.
fn serving(own: &ServiceLayer) -> Serving {
    let is_set = |flag: &Option<Located<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
    let probes =
        [&own.startup, &own.ready, &own.live].into_iter().flatten().filter_map(|probe| probe.value.as_ref());
    let asks_own = probes.map(|probe| &probe.0).any(|probe| asks_own_port(&probe.check));
    if is_set(&own.socket_activation) {
        Serving::Handed
    } else if word_with(own, SOCKET).is_some() {
        Serving::Path
    } else if word_with(own, PORT).is_some() || asks_own || own.slots.is_some() || own.listen.is_some() {
        Serving::Port
    } else {
        Serving::Nothing
    }
}

/// The first word of the command that names this.
fn word_with<'a>(own: &'a ServiceLayer, name: &str) -> Option<&'a Located<String>> {
    own.command.iter().flat_map(|command| &command.value).find(|word| names(word, name))
}

fn asks_own_port(check: &Check) -> bool {
    match check {
        Check::Http { target, .. } | Check::Tcp(target) => *target == Target::Own,
        Check::Exec(_) | Check::Log(_) => false,
    }
}

/// What a section with a `command` must not say.
pub fn check(own: &ServiceLayer, problems: &mut Diagnostics) {
    if let Some(live) = &own.live
        && live.value.as_ref().is_some_and(|probe| matches!(probe.0.check, Check::Log(_)))
    {
        let problem =
            Problem::new("`live.log` cannot tell whether a program is well: a line once printed stays");
        problems.add(problem.at(&live.place, "here").help("ask by http, tcp or exec"));
    }
    if let Some((port, socket)) = word_with(own, PORT).zip(word_with(own, SOCKET)) {
        let problem =
            Problem::new("`$PORT` and `$SOCKET` are both named, but an instance is reached in one way");
        problems
            .add(problem.at(&port.place, "a port").at(&socket.place, "a socket").help("name one of them"));
    }
    let Some(oneshot) = own.oneshot.as_ref().filter(|oneshot| oneshot.value) else { return };
    let is_restarted = |restart: &&Located<Option<String>>| restart.value.as_deref() == Some("always");
    let unfit = [
        ("listen", own.listen.as_ref().map(|it| &it.place)),
        ("slots", own.slots.as_ref().map(|it| &it.place)),
        ("socket_activation", own.socket_activation.as_ref().map(|it| &it.place)),
        ("startup", own.startup.as_ref().map(|it| &it.place)),
        ("ready", own.ready.as_ref().map(|it| &it.place)),
        ("live", own.live.as_ref().map(|it| &it.place)),
        ("$PORT", word_with(own, PORT).map(|word| &word.place)),
        ("$SOCKET", word_with(own, SOCKET).map(|word| &word.place)),
        ("restart = \"always\"", own.restart.as_ref().filter(is_restarted).map(|it| &it.place)),
    ];
    for (key, place) in unfit {
        let Some(place) = place else { continue };
        let problem =
            Problem::new(format!("`{key}` does not fit a one-shot, which does something once and ends"));
        let problem = problem.at(place, "this").at(&oneshot.place, "a one-shot");
        problems.add(problem.help("remove one of the two"));
    }
}

/// Why a dependency cannot wait for this; `oneshot`: what it depends on is one.
pub fn dependency_problem(name: &Located<String>, until: Option<Until>, oneshot: bool) -> Option<Problem> {
    let problem = match (until?, oneshot) {
        (Until::Completed, false) => {
            Problem::new(format!("`{}` never completes: it is no one-shot", name.value))
                .help("write \"ready\", or `oneshot = true` in its section")
        }
        (Until::Ready, true) => {
            Problem::new(format!("`{}` is never ready: it is a one-shot, which completes", name.value))
                .help("write \"completed\"")
        }
        _ => return None,
    };
    Some(problem.at(&name.place, "this dependency"))
}

impl CommandSpec {
    /// What the settings of a service with a `command` come to; `own` is its section.
    pub fn of(settings: &Service, own: &ServiceLayer) -> Self {
        let probe = |probe: &Located<Option<crate::config::value::ProbeSetting>>| -> Option<Probe> {
            probe.value.as_ref().map(|probe| probe.0.clone())
        };
        Self {
            argv: settings.command.iter().map(|word| word.value.clone()).collect(),
            serving: serving(own),
            startup: probe(&settings.startup),
            ready: probe(&settings.ready),
            live: probe(&settings.live),
            restart: restart(settings),
            is_oneshot: *settings.oneshot,
        }
    }
}

fn restart(settings: &Service) -> RestartPolicy {
    match settings.restart.as_deref() {
        Some("on-failure") => RestartPolicy::OnFailure,
        Some("never") => RestartPolicy::Never,
        Some(_) => RestartPolicy::Always,
        None if *settings.oneshot => RestartPolicy::Never,
        None => RestartPolicy::Always,
    }
}
