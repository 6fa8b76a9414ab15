//! Metadata that a Python file carries in a comment (PEP 723): a block from `# /// script` to `# ///`. Pure.

/// The TOML text of the file's block.
pub(super) fn block(source: &str) -> Option<String> {
    let mut lines = source.lines().map(str::trim_end).skip_while(|line| *line != "# /// script");
    lines.next()?;
    let comments: Vec<&str> = lines.take_while(|line| *line == "#" || line.starts_with("# ")).collect();
    let end = comments.iter().rposition(|line| *line == "# ///")?;
    let content = comments[..end].iter().map(|line| line.get(2..).unwrap_or_default());
    Some(content.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::block;

    #[test]
    fn a_block_is_the_text_between_its_marks() {
        let source = "#!/usr/bin/env python3\n# /// script\n# requires-python = \">=3.11\"\n#\n# dependencies = []\n# ///\n# more\nimport os\n";
        assert_eq!(block(source).as_deref(), Some("requires-python = \">=3.11\"\n\ndependencies = []"));
        assert_eq!(block("import os\n"), None);
        assert_eq!(block("# /// script\n# dependencies = []\nimport os\n# ///\n"), None, "it is not closed");
        assert_eq!(block("# /// script\n# ///\n").as_deref(), Some(""));
    }
}
