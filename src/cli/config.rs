//! `msx config`

use clap::Args;
use serde_json::{Map, Value, json};

use super::terminal::print_line;
use super::up::ManifestArgs;
use crate::daemon;
use crate::failure::Failure;
use crate::protocol::control::Setting;

const EXAMPLES: &str = "\
Examples:
  msx config                                the manifest as msx understands it
  msx config -f services.toml -f dev.toml   two manifests laid over each other
  msx config --json | jq '.services.a.threads.value'";

/// A longer value pushes its own comment aside, not everyone's.
const COMMENT_COLUMN_MAX: usize = 60;

/// Check the manifest and print every setting with where its value came from.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    #[command(flatten)]
    manifest: ManifestArgs,

    /// Print JSON: the tables of the manifest, with {"value", "from"} for each setting.
    #[arg(long)]
    json: bool,
}

impl Config {
    pub fn run(self) -> Result<(), Failure> {
        let settings = daemon::resolve(&self.manifest.options()?)?;
        print_line(&if self.json { as_json(&settings) } else { as_toml(&settings) })
    }
}

fn as_json(settings: &[Setting]) -> String {
    let mut root = Map::new();
    for setting in settings {
        insert(&mut root, &setting.key, json!({ "value": setting.value, "from": setting.from }));
    }
    Value::Object(root).to_string()
}

fn insert(table: &mut Map<String, Value>, key: &[String], value: Value) {
    match key {
        [] => {}
        [last] => drop(table.insert(last.clone(), value)),
        [first, rest @ ..] => {
            let inner = table.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// A manifest that says the same, with the origins as comments. TOML has no null, so an unset value has no line.
fn as_toml(settings: &[Setting]) -> String {
    let shown: Vec<(&Setting, String)> = settings.iter().filter_map(|s| Some((s, assignment(s)?))).collect();
    let widths = shown.iter().map(|(_, text)| text.chars().count());
    let width = widths.filter(|width| *width <= COMMENT_COLUMN_MAX).max().unwrap_or(0);
    let (mut out, mut table) = (String::new(), None);
    for (setting, text) in shown {
        let heading = &setting.key[..setting.key.len() - 1];
        if table != Some(heading) {
            let gap = if out.is_empty() { "" } else { "\n" };
            out += &format!("{gap}[{}]\n", dotted(heading));
            table = Some(heading);
        }
        out += &format!("{text:width$}  # {}\n", setting.from);
    }
    out.trim_end().to_owned()
}

/// `key = value`
fn assignment(setting: &Setting) -> Option<String> {
    let value = toml::Value::try_from(&setting.value).ok()?;
    Some(format!("{} = {value}", dotted(setting.key.last().map(std::slice::from_ref)?)))
}

/// A key of TOML, quoted where it must be.
fn dotted(key: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let quote =
        |part: &String| if bare(part) { part.clone() } else { Value::from(part.as_str()).to_string() };
    key.iter().map(quote).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<Setting> {
        let setting = |key: &[&str], value: Value, from: &str| Setting {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            value,
            from: from.to_owned(),
        };
        vec![
            setting(&["project", "name"], json!("shop"), "services.toml:2"),
            setting(&["services", "b.b", "threads"], json!(8), "services.toml:9"),
            setting(&["services", "b.b", "listen"], json!(null), "default"),
            setting(&["services", "b.b", "instances"], json!({"max": 8, "min": 1}), "default"),
        ]
    }

    #[test]
    fn the_text_is_a_manifest_with_origins() {
        let text = as_toml(&settings());
        insta::assert_snapshot!(text, @r#"
        [project]
        name = "shop"                     # services.toml:2

        [services."b.b"]
        threads = 8                       # services.toml:9
        instances = { max = 8, min = 1 }  # default
        "#);
        assert!(text.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn the_json_has_the_tables_of_the_manifest() {
        let json: Value = serde_json::from_str(&as_json(&settings())).unwrap();
        assert_eq!(json["services"]["b.b"]["threads"], json!({"value": 8, "from": "services.toml:9"}));
        assert_eq!(json["services"]["b.b"]["listen"]["value"], Value::Null);
    }
}
