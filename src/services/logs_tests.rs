//! A log is made smaller under a writer that knows nothing of it, and no line is lost.

use super::*;
use std::process::Stdio;

const MOST: u64 = 64 * 1024;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("0123abcd.log")
    }

    fn append(&self, numbers: std::ops::Range<u32>) {
        let lines: String = numbers.map(line).collect();
        fsx::open_append(&self.log())
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
    }

    fn older(&self) -> Vec<u8> {
        fs::read(older(&self.log())).unwrap_or_default()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.dir.path()).unwrap().count()
    }
}

fn line(number: u32) -> String {
    format!("line {number:08} {}\n", "x".repeat(50))
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_small_log_is_left_alone() {
    let world = World::new();
    world.append(0..10);
    assert_eq!(rotate(&world.log(), MOST).unwrap(), Rotation::Small);
    assert_eq!(world.files(), 1);
}

#[test]
fn a_large_one_moves_and_reads_as_before() {
    let world = World::new();
    world.append(0..2_000);
    let before = fs::metadata(world.log()).unwrap().len();
    assert_eq!(rotate(&world.log(), MOST).unwrap(), Rotation::Moved(before));
    assert!(on_disk(&world.log()) <= 4096, "{}", on_disk(&world.log()));
    assert_eq!(
        fs::metadata(world.log()).unwrap().len(),
        before,
        "its writer goes on where it was"
    );
    world.append(2_000..2_010);
    assert_eq!(
        numbers(&read(&world.log()).unwrap().0),
        (0..2_010).collect::<Vec<_>>()
    );
    assert_eq!(rotate(&world.log(), MOST).unwrap(), Rotation::Small);
}

#[test]
fn no_line_is_lost_while_a_writer_writes() {
    let world = World::new();
    let mut writer = crate::proc::command(Path::new("/bin/sh"))
        .args(["-c", "i=0; while [ $i -lt 60000 ]; do printf 'line %08d xxxxxxxxxxxxxxxxxxxxxxxxx\\n' $i; i=$((i+1)); done | cat >>\"$1\"", "sh"])
        .arg(world.log())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut all = Vec::new();
    let mut moved = 0;
    loop {
        let ended = writer.try_wait().unwrap().is_some();
        // What is older than twice the limit is let go; here everything has to be seen.
        if world.log().exists()
            && let Rotation::Moved(_) = rotate(&world.log(), MOST * 16).unwrap()
        {
            all.extend(world.older());
            moved += 1;
        }
        if ended {
            break;
        }
    }
    let log = Log::open(&world.log()).unwrap().unwrap();
    all.extend(log.read(log.begins, WINDOW).unwrap());
    assert!(moved >= 2, "it moved {moved} times");
    assert!(numbers(&all).into_iter().eq(0..60_000));
}

#[test]
fn what_cannot_be_copied_stays() {
    let world = World::new();
    world.append(0..2_000);
    let before = fs::read(world.log()).unwrap();
    // In place of a full disk: nothing can be renamed onto a directory.
    let end = before.len();
    let mut copied = older(&world.log()).into_os_string();
    copied.push(format!(".{end:x}"));
    fs::create_dir(&copied).unwrap();
    assert!(rotate(&world.log(), MOST).is_err());
    assert_eq!(fs::read(world.log()).unwrap(), before);
    assert_eq!(world.files(), 2, "nothing half made is left");
}

#[test]
fn a_helper_that_was_killed_between_copy_and_cut_leaves_no_line_twice() {
    let world = World::new();
    world.append(0..2_000);
    let log = Log::open(&world.log()).unwrap().unwrap();
    let end = log.line_end(log.ends).unwrap();
    let mut copied = older(&world.log()).into_os_string();
    copied.push(format!(".{end:x}"));
    copy(&log, end, Path::new(&copied)).unwrap();
    world.append(2_000..2_100);
    assert_eq!(
        numbers(&read(&world.log()).unwrap().0),
        (0..2_100).collect::<Vec<_>>()
    );
    assert_eq!(
        rotate(&world.log(), MOST).unwrap(),
        Rotation::Small,
        "it is cut now"
    );
    assert_eq!(numbers(&world.older()), (0..2_000).collect::<Vec<_>>());
    assert_eq!(
        numbers(&read(&world.log()).unwrap().0),
        (0..2_100).collect::<Vec<_>>()
    );
}

#[test]
fn lines_that_are_all_the_same_are_not_taken_for_copied_ones() {
    let world = World::new();
    let append = |count: usize| {
        fsx::open_append(&world.log())
            .unwrap()
            .write_all("y\n".repeat(count).as_bytes())
            .unwrap();
    };
    append(50_000);
    assert_eq!(
        rotate(&world.log(), MOST).unwrap(),
        Rotation::Moved(100_000)
    );
    append(50_000);
    assert_eq!(read(&world.log()).unwrap().0.len(), 200_000);
    assert_eq!(
        rotate(&world.log(), MOST).unwrap(),
        Rotation::Moved(100_000)
    );
    assert_eq!(world.older().len(), 100_000);
}

#[test]
fn of_a_log_that_is_far_too_large_the_newest_lines_stay() {
    let world = World::new();
    world.append(0..10_000);
    assert!(matches!(
        rotate(&world.log(), MOST).unwrap(),
        Rotation::Moved(_)
    ));
    let kept = numbers(&world.older());
    assert_eq!(kept.last(), Some(&9_999));
    let first = *kept.first().unwrap();
    assert!(kept.into_iter().eq(first..10_000), "whole lines in order");
    assert!(world.older().len() as u64 <= MOST * 2 + 100);
    assert!(world.older().len() as u64 > MOST);
}

#[test]
fn a_link_in_the_place_of_a_log_is_not_followed() {
    let world = World::new();
    let victim = world.dir.path().join("victim");
    fsx::write_atomic(&victim, "x".repeat(200_000).as_bytes()).unwrap();
    std::os::unix::fs::symlink(&victim, world.log()).unwrap();
    assert_eq!(rotate(&world.log(), 10).unwrap(), Rotation::Small);
    assert_eq!(fs::metadata(&victim).unwrap().len(), 200_000);
    assert!(read(&world.log()).is_err());
}
