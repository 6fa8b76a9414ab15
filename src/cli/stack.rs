//! `msx stack`

use clap::Args;

use super::session;
use super::terminal::{Paint, Style, Terminal, print_json, print_line};
use crate::failure::Failure;
use crate::protocol::calls::{InstanceStacks, StackInfo, StackRequest, Stacks};

const EXAMPLES: &str = "\
Examples:
  msx stack a           every lane of every instance of a
  msx stack a-1         of one instance
  msx stack 9k2m4xq7    of one call";

/// Show where the Python code of a service or of a call is.
///
/// A thread of the worker's own looks, so it works while the code is stuck; only code that does not let go of Python's
/// interpreter lock keeps it from answering, which it may for 2 s.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Stack {
    /// A service, an instance, or the id of a call.
    #[arg(value_name = "NAME|ID")]
    target: String,

    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

impl Stack {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let request = StackRequest { target: self.target };
        let stacks = session::request("", client.stack(&request))?;
        match self.json {
            true => print_json(&stacks)?,
            false if stacks.instances.is_empty() => (),
            false => print_line(&text(&stacks, terminal.stdout))?,
        }
        check_seen(&request.target, &stacks)
    }
}

/// It is a failure when nothing was seen at all.
fn check_seen(target: &str, stacks: &Stacks) -> Result<(), Failure> {
    if stacks.instances.iter().any(|instance| instance.problem.is_none()) {
        return Ok(());
    }
    let problem = stacks.instances.first().and_then(|first| first.problem.as_deref());
    let why = problem.unwrap_or("it has no instance that serves");
    Err(Failure::failed(format!("cannot see the stacks of {target}: {why}"))
        .with_help("`msx ps` shows its instances; `py-spy dump --pid PID` sees a process without its help"))
}

fn text(stacks: &Stacks, paint: Paint) -> String {
    let parts: Vec<String> = stacks.instances.iter().map(|instance| instance_text(instance, paint)).collect();
    parts.join("\n\n")
}

fn instance_text(instance: &InstanceStacks, paint: Paint) -> String {
    let mut lines = vec![paint.apply(Style::Heading, &instance.instance)];
    lines.extend(instance.problem.iter().map(|problem| paint.apply(Style::Warning, &format!("  {problem}"))));
    let (idle, busy): (Vec<_>, Vec<_>) = instance.stacks.iter().partition(|stack| stack.state == "idle");
    lines.extend(busy.iter().map(|stack| stack_text(stack, paint)));
    match (idle.len(), busy.len()) {
        (0, 0) if instance.problem.is_none() => lines.push("  no code of a call is there".to_owned()),
        (0, _) => (),
        (1, _) => lines.push(paint.apply(Style::Faint, "  1 idle lane")),
        (n, _) => lines.push(paint.apply(Style::Faint, &format!("  {n} idle lanes"))),
    }
    lines.join("\n")
}

fn stack_text(stack: &StackInfo, paint: Paint) -> String {
    let style = if stack.state == "running" { Style::Good } else { Style::Faint };
    let of = match &stack.call {
        Some(id) => format!(" {id}"),
        None => String::new(),
    };
    let mut lines = vec![format!("  {}{of} {}", stack.name, paint.apply(style, &stack.state))];
    lines.extend(stack.text.lines().map(|line| format!("  {}", line.trim_end())));
    lines.join("\n")
}
