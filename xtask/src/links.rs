//! The links of the documents: every linked file exists, and a link whose text is code names a symbol of that file.
//! So the table of official names and the walk of one token in CONTRIBUTING.md stay true.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::process::root;

    const DOCUMENTS: [&str; 6] = [
        "README.md",
        "CONTRIBUTING.md",
        "TRAINING.md",
        "bench/README.md",
        "bench/results.md",
        "weights/fashion/README.md",
    ];

    /// Text and target of each link of a document in Markdown, those to other sites left out.
    fn links(markdown: &str) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        let mut rest = markdown;
        while let Some(middle) = rest.find("](") {
            let text = &rest[rest[..middle].rfind('[').map_or(0, |at| at + 1)..middle];
            let target = &rest[middle + 2..];
            let target = &target[..target.find(')').unwrap_or(target.len())];
            if !target.contains("://") && !target.starts_with('#') {
                found.push((text, target));
            }
            rest = &rest[middle + 2..];
        }
        found
    }

    /// The symbol that a link's text names: the last part of a path such as `Kl::decode`. None for other texts, for
    /// instance file names.
    fn symbol(text: &str) -> Option<&str> {
        let code = text.strip_prefix('`')?.strip_suffix('`')?;
        let last = code.rsplit("::").next()?;
        let is_name = last.chars().all(|c| c.is_alphanumeric() || c == '_');
        is_name.then_some(last)
    }

    /// Whether `content` has `name` as a whole word.
    fn has_word(content: &str, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        content
            .match_indices(name)
            .any(|(at, _)| !content[..at].ends_with(is_part) && !content[at + name.len()..].starts_with(is_part))
    }

    #[test]
    fn documents_link_to_what_is_there() {
        let mut wrong = Vec::new();
        for document in DOCUMENTS {
            let path = root().join(document);
            let markdown = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
            for (text, target) in links(&markdown) {
                let target = path.parent().unwrap_or(Path::new("")).join(target.split('#').next().unwrap_or_default());
                if !target.exists() {
                    wrong.push(format!("{document}: [{text}] leads to {}, which does not exist", target.display()));
                } else if let (Some(name), Ok(content)) = (symbol(text), fs::read_to_string(&target))
                    && !has_word(&content, name)
                {
                    wrong.push(format!("{document}: {} has no '{name}'", target.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn links_and_symbols_are_found() {
        let text = "a [b](c.rs), [`D::e`](f/g.rs#h) and [i](https://j)\n| ![k](l.png) |";
        assert_eq!(links(text), [("b", "c.rs"), ("`D::e`", "f/g.rs#h"), ("k", "l.png")]);
        assert_eq!(
            [symbol("b"), symbol("`D::e`"), symbol("`types.ts`"), symbol("`data/`")],
            [None, Some("e"), None, None]
        );
        assert!(has_word("fn e()", "e") && !has_word("fn ee(e_)", "e"));
    }
}
