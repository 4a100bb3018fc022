//! Tokens of images: continuous vectors, as in the paper, or ids of a codebook.
//! Section 3.1 of the paper.

/// Tokens of images, image-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Tokens {
    /// Vectors.
    Continuous {
        /// Numbers of a token, C.
        dim: usize,
        /// `[images, L, C]`.
        values: Vec<f32>,
    },
    /// Ids of a codebook, `[images, L]`.
    Discrete(Vec<u32>),
}

/// Borrowed [`Tokens`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokensRef<'a> {
    /// `[images, L, C]`.
    Continuous {
        /// Numbers of a token, C.
        dim: usize,
        /// `[images, L, C]`.
        values: &'a [f32],
    },
    /// `[images, L]`.
    Discrete(&'a [u32]),
}

/// The kind of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Vectors of `dim` numbers.
    Continuous {
        /// Numbers of a token, C.
        dim: usize,
    },
    /// Ids below `codes`.
    Discrete {
        /// Entries of the codebook.
        codes: usize,
    },
}

/// Why tokens do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// The wrong kind.
    #[error("these tokens are {found}, but the model's are {expected}")]
    Kind {
        /// Their kind.
        found: TokenKind,
        /// The model's kind.
        expected: TokenKind,
    },
    /// Too few or too many.
    #[error("the tokens have {found} numbers; this model's have {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A number that is not finite.
    #[error("token {token} holds a number that is not finite")]
    NotFinite {
        /// Its position, counted over all images.
        token: usize,
    },
    /// An id beyond the codebook.
    #[error("token {token} has id {id}, and the codebook has {codes} entries")]
    Id {
        /// Its position, counted over all images.
        token: usize,
        /// Its id.
        id: u32,
        /// Entries of the codebook.
        codes: usize,
    },
}

impl std::fmt::Display for TokenKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Continuous { dim } => write!(f, "continuous, {dim} numbers each"),
            Self::Discrete { codes } => write!(f, "ids of a codebook of {codes}"),
        }
    }
}

impl Tokens {
    /// `count` tokens of `kind`, all zero.
    pub fn zeros(kind: TokenKind, count: usize) -> Self {
        match kind {
            TokenKind::Continuous { dim } => Self::Continuous { dim, values: vec![0.0; count * dim] },
            TokenKind::Discrete { .. } => Self::Discrete(vec![0; count]),
        }
    }

    /// Borrows the tokens.
    pub fn view(&self) -> TokensRef<'_> {
        match self {
            Self::Continuous { dim, values } => TokensRef::Continuous { dim: *dim, values },
            Self::Discrete(ids) => TokensRef::Discrete(ids),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Continuous { dim, values } => values.len() / dim,
            Self::Discrete(ids) => ids.len(),
        }
    }

    /// The numbers of continuous tokens, `[images, L, C]`; `None` for ids.
    pub fn continuous(&self) -> Option<&[f32]> {
        match self {
            Self::Continuous { values, .. } => Some(values),
            Self::Discrete(_) => None,
        }
    }

    /// Copies row `row` of `from`, which has the same kind, to position `place`.
    ///
    /// # Panics
    /// If the kinds differ or there is no such token.
    pub fn copy_from(&mut self, place: usize, from: TokensRef<'_>, row: usize) {
        match (self, from) {
            (Self::Continuous { dim, values }, TokensRef::Continuous { values: from, .. }) => {
                values[place * *dim..][..*dim].copy_from_slice(&from[row * *dim..][..*dim]);
            }
            (Self::Discrete(ids), TokensRef::Discrete(from)) => ids[place] = from[row],
            _ => panic!("the tokens have different kinds"),
        }
    }

    /// Appends a copy of all tokens.
    pub fn repeat(&mut self) {
        match self {
            Self::Continuous { values, .. } => values.extend_from_within(..),
            Self::Discrete(ids) => ids.extend_from_within(..),
        }
    }

    /// Checks that there are `count` tokens of `kind`, and sets the masked ones to zero.
    ///
    /// # Errors
    /// See [`TokensError`]; masked tokens are not checked.
    pub fn check(&mut self, kind: TokenKind, count: usize, masked: &[bool]) -> Result<(), TokensError> {
        match (&mut *self, kind) {
            (Self::Continuous { dim, values }, TokenKind::Continuous { dim: expected }) if *dim == expected => {
                if values.len() != count * expected {
                    return Err(TokensError::Length { found: values.len(), expected: count * expected });
                }
                for (token, (values, &masked)) in values.chunks_exact_mut(expected).zip(masked).enumerate() {
                    if masked {
                        values.fill(0.0);
                    } else if values.iter().any(|value| !value.is_finite()) {
                        return Err(TokensError::NotFinite { token });
                    }
                }
                Ok(())
            }
            (Self::Discrete(ids), TokenKind::Discrete { codes }) => {
                if ids.len() != count {
                    return Err(TokensError::Length { found: ids.len(), expected: count });
                }
                for (token, (id, &masked)) in ids.iter_mut().zip(masked).enumerate() {
                    if masked {
                        *id = 0;
                    } else if *id as usize >= codes {
                        return Err(TokensError::Id { token, id: *id, codes });
                    }
                }
                Ok(())
            }
            (tokens, expected) => {
                let found = match tokens {
                    Self::Continuous { dim, .. } => TokenKind::Continuous { dim: *dim },
                    Self::Discrete(ids) => {
                        TokenKind::Discrete { codes: ids.iter().max().map_or(1, |&id| id as usize + 1) }
                    }
                };
                Err(TokensError::Kind { found, expected })
            }
        }
    }
}

impl<'a> TokensRef<'a> {
    /// The numbers of continuous tokens.
    ///
    /// # Panics
    /// For ids. [`Tokens::check`] excludes them before a network of continuous tokens runs.
    pub fn expect_continuous(self) -> &'a [f32] {
        match self {
            Self::Continuous { values, .. } => values,
            Self::Discrete(_) => panic!("the network takes continuous tokens, but got ids"),
        }
    }

    /// The tokens in the range `tokens`.
    #[must_use]
    pub fn slice(self, tokens: std::ops::Range<usize>) -> Self {
        match self {
            Self::Continuous { dim, values } => {
                Self::Continuous { dim, values: &values[tokens.start * dim..tokens.end * dim] }
            }
            Self::Discrete(ids) => Self::Discrete(&ids[tokens]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_tokens_are_cleared_and_known_ones_checked() {
        let kind = TokenKind::Continuous { dim: 2 };
        let mut tokens = Tokens::Continuous { dim: 2, values: vec![f32::NAN, 1.0, 2.0, 3.0] };
        tokens.check(kind, 2, &[true, false]).unwrap();
        assert_eq!(tokens.continuous().unwrap(), [0.0, 0.0, 2.0, 3.0]);
        let mut infinite = Tokens::Continuous { dim: 2, values: vec![0.0, 0.0, f32::INFINITY, 3.0] };
        assert_eq!(infinite.check(kind, 2, &[true, false]), Err(TokensError::NotFinite { token: 1 }));
        let short = Tokens::zeros(kind, 1).check(kind, 2, &[true, false]);
        assert_eq!(short, Err(TokensError::Length { found: 2, expected: 4 }));
    }

    #[test]
    fn ids_stay_below_the_codebook() {
        let kind = TokenKind::Discrete { codes: 4 };
        let mut tokens = Tokens::Discrete(vec![9, 3]);
        tokens.check(kind, 2, &[true, false]).unwrap();
        assert_eq!(tokens, Tokens::Discrete(vec![0, 3]));
        let found = Tokens::Discrete(vec![4, 3]).check(kind, 2, &[false, false]);
        assert_eq!(found, Err(TokensError::Id { token: 0, id: 4, codes: 4 }));
        let other = Tokens::zeros(TokenKind::Continuous { dim: 1 }, 2).check(kind, 2, &[false, false]).unwrap_err();
        assert!(other.to_string().contains("continuous, 1 numbers each"), "{other}");
    }

    #[test]
    fn a_token_goes_where_it_is_put() {
        let mut tokens = Tokens::zeros(TokenKind::Continuous { dim: 2 }, 3);
        tokens.copy_from(1, TokensRef::Continuous { dim: 2, values: &[1.0, 2.0, 3.0, 4.0] }, 1);
        assert_eq!(tokens.continuous().unwrap(), [0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
        tokens.repeat();
        assert_eq!(tokens.count(), 6);
        let TokensRef::Continuous { values, .. } = tokens.view().slice(4..5) else { panic!("they are numbers") };
        assert_eq!(values, [3.0, 4.0]);
    }
}
