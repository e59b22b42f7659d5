//! "Did you mean": the known word nearest to one that is not known.
//!
//! Words in, words out; knows nothing of what they name.

/// The candidate nearest to `word`, whatever its case and however far; `None` only without candidates. The first of
/// equals wins.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    ranked(word, candidates).map(|(candidate, _)| candidate)
}

/// `; did you mean `x`?` when a candidate is near enough to be meant, else nothing.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    match ranked(word, candidates) {
        Some((candidate, likeness)) if likeness >= NEAR => format!("; did you mean `{candidate}`?"),
        _ => String::new(),
    }
}

/// One slip in three letters: how alike, 0 to 1, words must be for one to be offered for the other. `dv` is near `dev`,
/// `log_format` near `log_date_format`; `x` is not near `y`.
const NEAR: f64 = 0.66;

fn ranked<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<(&'c str, f64)> {
    let word = word.to_lowercase();
    let mut best: Option<(&str, f64)> = None;
    for candidate in candidates {
        let likeness = strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase());
        if best.is_none_or(|(_, so_far)| likeness > so_far) {
            best = Some((candidate, likeness));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["ports", "pty", "depends_on", "retain"];
        assert_eq!(nearest("depend_on", known), Some("depends_on"));
        assert_eq!(did_you_mean("port", known), "; did you mean `ports`?");
        assert_eq!(did_you_mean("PORTS", known), "; did you mean `ports`?");
        assert_eq!(did_you_mean("dv", ["prod", "dev"]), "; did you mean `dev`?");
    }

    #[test]
    fn a_far_word_is_not_offered_but_is_still_the_nearest() {
        assert_eq!(did_you_mean("zzz", ["ports"]), "");
        assert_eq!(did_you_mean("x", ["y"]), "");
        assert_eq!(nearest("zzz", ["ports"]), Some("ports"));
        assert_eq!(nearest("zzz", []), None);
    }
}
