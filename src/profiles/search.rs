//! Ranking texts by a query, and names that were perhaps meant.

use std::collections::BTreeMap;

/// A thing to be found: its texts and how much a word in each counts.
pub type Weighted<'a> = Vec<(&'a str, f64)>;

/// How strongly a word's repetition counts, and how much long texts are damped (the usual BM25 constants).
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// The score of each of `things` for `query`, in their order; 0 for those that do not match. A word also matches longer words that start with it, for less.
pub fn scores(query: &str, things: &[Weighted<'_>]) -> Vec<f64> {
    let mut query = words(query);
    query.sort();
    query.dedup();
    let counted: Vec<BTreeMap<String, f64>> = things.iter().map(count).collect();
    let lengths: Vec<f64> = counted.iter().map(|c| c.values().sum()).collect();
    let mean = lengths.iter().sum::<f64>() / count_of(lengths.len().max(1));
    let mut scores = vec![0.0; things.len()];
    for word in &query {
        let matches: Vec<f64> = counted.iter().map(|c| frequency(c, word)).collect();
        let having = count_of(matches.iter().filter(|f| **f > 0.0).count());
        let rarity = (1.0 + (count_of(things.len()) - having + 0.5) / (having + 0.5)).ln();
        for ((score, frequency), length) in scores.iter_mut().zip(&matches).zip(&lengths) {
            if *frequency > 0.0 {
                let damping = K1 * (1.0 - B + B * length / mean);
                *score += rarity * frequency * (K1 + 1.0) / (frequency + damping);
            }
        }
    }
    scores
}

fn count(texts: &Weighted<'_>) -> BTreeMap<String, f64> {
    let mut counted = BTreeMap::new();
    for (text, weight) in texts {
        for word in words(text) {
            *counted.entry(word).or_insert(0.0) += weight;
        }
    }
    counted
}

fn frequency(counted: &BTreeMap<String, f64>, word: &str) -> f64 {
    let exact = counted.get(word).copied().unwrap_or(0.0);
    if word.chars().count() < 3 {
        return exact;
    }
    let longer = counted
        .range(word.to_owned()..)
        .take_while(|(known, _)| known.starts_with(word))
        .filter(|(known, _)| *known != word);
    exact + longer.map(|(_, weight)| weight / 2.0).sum::<f64>()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn count_of(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// At most three of `known` that may be meant by `word`, the nearest first.
pub fn near<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word: String = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let mut found: Vec<(usize, &str)> = known
        .map(|name| (distance(&word, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= allowed || word.len() >= 3 && name.to_lowercase().starts_with(&word)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many letters have to be put in, taken out, exchanged or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (row[j] + 1).min(next[j - 1] + 1).min(row[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_counts_more_than_a_body() {
        let things = vec![
            vec![("tester", 4.0), ("asks the reviewer to review", 1.0)],
            vec![("reviewer", 4.0), ("reads a diff", 1.0)],
            vec![("writer", 4.0), ("writes", 1.0)],
        ];
        let scores = scores("Review", &things);
        assert!(scores[1] > scores[0] && scores[0] > 0.0);
        assert!(scores[2].abs() < f64::EPSILON);
    }

    #[test]
    fn near_names_are_found() {
        let known = ["developer", "reviewer", "tester", "conductor"];
        assert_eq!(near("develper", known.into_iter()), ["developer"]);
        assert_eq!(near("dev", known.into_iter()), ["developer"]);
        assert_eq!(near("etster", known.into_iter()), ["tester"]);
        assert_eq!(near("zebra", known.into_iter()), [""; 0]);
    }

    proptest! {
        #[test]
        fn scores_are_finite_and_not_negative(query in ".{0,20}", texts in proptest::collection::vec(".{0,30}", 0..5)) {
            let things: Vec<_> = texts.iter().map(|text| vec![(text.as_str(), 1.0)]).collect();
            let scores = scores(&query, &things);
            prop_assert_eq!(scores.len(), things.len());
            prop_assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0));
        }

        #[test]
        fn distance_is_a_distance(a in ".{0,12}", b in ".{0,12}") {
            prop_assert_eq!(distance(&a, &a), 0);
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
