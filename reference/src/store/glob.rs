//! Patterns as `KEYS` has them: `*`, `?`, `[a-z]`, `[^a]`, `\` before a character that is meant literally.

/// Whether a text is of a pattern. Takes at most the product of both lengths.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and the text from which on it is tried next: earlier stars need not be tried again.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// What follows in the pattern, if its next element is of the character.
fn one(pattern: &[u8], p: usize, c: u8) -> Option<usize> {
    let rest = pattern.get(p..)?;
    match rest {
        [] => None,
        [b'?', ..] => Some(p + 1),
        [b'\\', literal, ..] => (*literal == c).then_some(p + 2),
        [b'[', ..] => {
            let (inside, next) = class(rest, c);
            inside.then_some(p + next)
        }
        [literal, ..] => (*literal == c).then_some(p + 1),
    }
}

/// Whether a character is in the class at the start of `rest`, and how long the class is.
fn class(rest: &[u8], c: u8) -> (bool, usize) {
    let negated = rest.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negated);
    let mut inside = false;
    while let Some(&first) = rest.get(at) {
        match (first, rest.get(at + 1), rest.get(at + 2)) {
            (b']', ..) => {
                at += 1;
                break;
            }
            (b'\\', Some(literal), _) => {
                inside |= *literal == c;
                at += 2;
            }
            (low, Some(b'-'), Some(&high)) if high != b']' => {
                inside |= (low.min(high)..=low.max(high)).contains(&c);
                at += 3;
            }
            (literal, ..) => {
                inside |= literal == c;
                at += 1;
            }
        }
    }
    (inside != negated, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_keys() {
        for (pattern, text, is_of) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-c]llo", "hbllo", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("[", "x", false),
            ("*a*b", "aXbXab", true),
            ("**", "x", true),
            ("x", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is_of, "{pattern} {text}");
        }
        let evil = b"a*".repeat(100);
        assert!(!matches(&[&evil[..], b"b"].concat(), &[b'a'; 10_000]), "and ends soon");
    }
}
