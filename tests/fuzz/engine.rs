//! The loop: makes an input, tries it, keeps it when it led somewhere new, and reports what went wrong.

use crate::mutate::{mutate, smallest};
use crate::random::Random;
use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one input may take before it counts as a hang. Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// Most findings of one run; a run ends with them.
const MOST_FINDINGS: usize = 10;

/// Most inputs that are kept besides those of the corpus.
const MOST_KEPT: usize = 4000;

/// Where an input led, as numbers that are the same for the same place. An input that led somewhere new is kept and changed further:
/// what coverage does in other fuzzers, with what the code says of itself.
#[derive(Default)]
pub(crate) struct Trail(Vec<u64>);

impl Trail {
    /// The input led to `place`.
    pub(crate) fn passes(&mut self, place: impl Hash) {
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        self.0.push(hasher.finish());
    }

    /// As [`Self::passes`], for a sentence of a program: what it quotes and counts is left out.
    pub(crate) fn says(&mut self, sentence: &str) {
        let mut quoted = false;
        let plain: String = sentence
            .chars()
            .filter(|c| {
                if matches!(c, '"' | '`') {
                    quoted = !quoted;
                }
                !quoted && c.is_ascii_alphabetic()
            })
            .take(60)
            .collect();
        self.passes(plain);
    }
}

/// A piece of the program that is fed with inputs.
pub(crate) trait Target {
    /// Inputs to begin with, besides those in `tests/fixtures/fuzz/NAME`.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Words that mean something to it.
    fn dictionary(&self) -> Vec<Vec<u8>>;

    /// An input made from nothing, for targets whose inputs have a grammar.
    fn fresh(&self, _random: &mut Random) -> Option<Vec<u8>> {
        None
    }

    /// Tries an input. The error says what the program did that it must not.
    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String>;
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) inputs: u64,
    pub(crate) kept: usize,
    /// What kind each is, and all that is known of it.
    pub(crate) findings: Vec<(String, String)>,
    pub(crate) seconds: f64,
    /// The longest that one input took.
    pub(crate) slowest: Duration,
}

/// The corpus that is part of the project: findings of earlier runs, and inputs that reach far.
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/fuzz")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Feeds `target` for `time`, from `seed`. Inputs that fail are written to `keep`.
pub(crate) fn run(
    name: &str,
    target: &mut dyn Target,
    seed: u64,
    time: Duration,
    keep: &Path,
) -> Outcome {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let watch = Watch::start(name, seed, keep);
    let dictionary = target.dictionary();
    let mut known = HashSet::new();
    let mut outcome = Outcome {
        inputs: 0,
        kept: 0,
        findings: Vec::new(),
        seconds: 0.0,
        slowest: Duration::ZERO,
    };
    let mut inputs = corpus(name);
    let findings_before = inputs.len();
    let mut seeds = target.seeds();
    // A short run has no time for all of them, and begins elsewhere each time.
    let first = random.below(seeds.len());
    seeds.rotate_left(first);
    inputs.extend(seeds);
    for (at, input) in inputs.iter().enumerate() {
        if at >= findings_before && begun.elapsed() > time / 2 {
            break;
        }
        let (failed, trail, took) = attempt(target, input, &watch);
        outcome.inputs += 1;
        outcome.slowest = outcome.slowest.max(took);
        known.extend(trail.0);
        if let Some(why) = failed {
            report(
                name,
                target,
                input,
                &why,
                seed,
                keep,
                &watch,
                &mut outcome.findings,
            );
        }
    }
    let given = inputs.len();
    while begun.elapsed() < time && outcome.findings.len() < MOST_FINDINGS {
        let fresh = if random.chance(20) {
            target.fresh(&mut random)
        } else {
            None
        };
        let input = fresh.unwrap_or_else(|| {
            // What was found last is changed most.
            let recent = inputs.len() - inputs.len().min(50);
            let at = if random.chance(30) {
                recent + random.below(inputs.len() - recent)
            } else {
                random.below(inputs.len())
            };
            let other = random.below(inputs.len());
            let nothing = Vec::new();
            mutate(
                &mut random,
                inputs.get(at).unwrap_or(&nothing),
                inputs.get(other).unwrap_or(&nothing),
                &dictionary,
            )
        });
        let (failed, trail, took) = attempt(target, &input, &watch);
        outcome.inputs += 1;
        outcome.slowest = outcome.slowest.max(took);
        let fresh_ground = trail.0.iter().any(|place| !known.contains(place));
        known.extend(trail.0);
        if let Some(why) = failed {
            report(
                name,
                target,
                &input,
                &why,
                seed,
                keep,
                &watch,
                &mut outcome.findings,
            );
        } else if fresh_ground && inputs.len() - given < MOST_KEPT {
            inputs.push(input);
        }
    }
    outcome.kept = inputs.len() - given;
    outcome.seconds = begun.elapsed().as_secs_f64();
    outcome
}

/// Tries one input; a panic is a failure too.
fn attempt(
    target: &mut dyn Target,
    input: &[u8],
    watch: &Watch,
) -> (Option<String>, Trail, Duration) {
    let mut trail = Trail::default();
    let begun = Instant::now();
    watch.begins(input);
    let result = catch_unwind(AssertUnwindSafe(|| target.check(input, &mut trail)));
    watch.ends();
    let failed = match result {
        Ok(result) => result.err(),
        Err(cause) => {
            let words = cause
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panicked: {}", words.unwrap_or_default()))
        }
    };
    (failed, trail, begun.elapsed())
}

/// What a failure says, without what it quotes and counts: by this it is told from others.
fn kind(why: &str) -> String {
    let mut quoted = false;
    let words = why.chars().filter(|c| {
        quoted ^= *c == '"';
        !quoted && c.is_ascii_lowercase()
    });
    words.take(40).collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call in two places of one loop"
)]
fn report(
    name: &str,
    target: &mut dyn Target,
    input: &[u8],
    why: &str,
    seed: u64,
    keep: &Path,
    watch: &Watch,
    findings: &mut Vec<(String, String)>,
) {
    if findings.iter().any(|(known, _)| *known == kind(why)) {
        return;
    }
    let small = smallest(input, 2000, |less| {
        let failed = attempt(target, less, watch).0;
        failed.is_some_and(|other| kind(&other) == kind(why))
    });
    let why = attempt(target, &small, watch)
        .0
        .unwrap_or_else(|| why.to_owned());
    let file = save(keep, &format!("{name}-{seed}-{}", findings.len()), &small);
    let told = format!(
        "{name}, seed {seed}: {why}\n  input: {:?}\n  kept:  {file}",
        String::from_utf8_lossy(&small)
    );
    findings.push((kind(&why), told));
}

fn save(keep: &Path, name: &str, input: &[u8]) -> String {
    let file = keep.join(name);
    match fs::create_dir_all(keep).and_then(|()| fs::write(&file, input)) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("not kept: {error}"),
    }
}

/// The input that is being tried, and since when.
type UnderWay = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Ends the whole process when one input takes too long: nothing else can stop code that hangs.
struct Watch {
    under_way: UnderWay,
}

impl Watch {
    fn start(name: &str, seed: u64, keep: &Path) -> Self {
        let under_way = UnderWay::default();
        let watched = Arc::downgrade(&under_way);
        let (name, keep) = (name.to_owned(), keep.to_owned());
        std::thread::spawn(move || {
            while let Some(input) = watched.upgrade() {
                let late = input
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .filter(|(begun, _)| begun.elapsed() > DEADLINE)
                    .map(|(_, input)| input.clone());
                drop(input);
                if let Some(input) = late {
                    let file = save(&keep, &format!("{name}-{seed}-hang"), &input);
                    eprintln!("fuzz: {name}, seed {seed}: HANGS\n  kept:  {file}");
                    std::process::exit(1);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { under_way }
    }

    fn begins(&self, input: &[u8]) {
        *self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), input.to_vec()));
    }

    fn ends(&self) {
        *self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}
