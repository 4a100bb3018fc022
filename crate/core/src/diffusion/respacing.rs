//! How many of the training process's timesteps the reverse process takes, as it is asked for.
//! Improved DDPM, section 4; the syntax is the official `space_timesteps`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A count such as `100`, or a respacing such as `10,20,30` or `ddim25`. What it means, and whether it can be had, says
/// [`super::Schedule::respaced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "steps must be a whole number such as 50, or a respacing such as ddim25")]
pub enum Respacing {
    /// So many steps, spread evenly.
    Count(usize),
    /// Counts of several sections, or a fixed stride.
    Sections(String),
}

impl Respacing {
    /// The number of steps, where it is given as one.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Count(count) => Some(*count),
            Self::Sections(_) => None,
        }
    }
}

impl From<usize> for Respacing {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for Respacing {
    fn from(text: &str) -> Self {
        text.trim().parse().map_or_else(|_| Self::Sections(text.to_owned()), Self::Count)
    }
}

impl fmt::Display for Respacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Sections(sections) => f.write_str(sections),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counts_and_the_rest_is_kept() {
        assert_eq!(Respacing::from(" 50"), Respacing::Count(50));
        assert_eq!(Respacing::from("ddim25").to_string(), "ddim25");
        assert_eq!(serde_json::from_str::<Respacing>("50").unwrap(), 50.into());
        assert_eq!(serde_json::to_string(&Respacing::from("10,20")).unwrap(), "\"10,20\"");
        let error = serde_json::from_str::<Respacing>("1.5").unwrap_err().to_string();
        assert!(error.contains("a whole number such as 50"), "{error}");
    }
}
