//! What goes wrong meanwhile: hooks, agents and the server are killed, the disk is full.

use crate::random::Random;
use crate::senders::{Plan, Sent};
use crate::world::{World, kill};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Chaos<'a> {
    world: &'a World,
    plan: &'a Plan,
    next: &'a AtomicUsize,
    hooks: AtomicUsize,
    agents: AtomicUsize,
    servers: AtomicUsize,
    disks: AtomicUsize,
    extra: Mutex<Vec<Sent>>,
}

impl<'a> Chaos<'a> {
    pub(crate) fn new(world: &'a World, plan: &'a Plan, next: &'a AtomicUsize) -> Self {
        Self {
            world,
            plan,
            next,
            hooks: AtomicUsize::new(0),
            agents: AtomicUsize::new(0),
            servers: AtomicUsize::new(0),
            disks: AtomicUsize::new(0),
            extra: Mutex::default(),
        }
    }

    pub(crate) fn hooks_killed(&self) -> usize {
        self.hooks.load(Ordering::Relaxed)
    }

    pub(crate) fn agents_ended(&self) -> usize {
        self.agents.load(Ordering::Relaxed)
    }

    pub(crate) fn servers_killed(&self) -> usize {
        self.servers.load(Ordering::Relaxed)
    }

    pub(crate) fn disk_filled(&self) -> usize {
        self.disks.load(Ordering::Relaxed)
    }

    /// What was sent to make agents crash.
    pub(crate) fn extra(&self) -> Vec<Sent> {
        std::mem::take(&mut self.extra.lock().unwrap())
    }

    /// Kills hooks and timers of agents as they come by, until told to stop.
    pub(crate) fn hooks(&self, stop: &AtomicBool) {
        let mut random = Random::new(self.plan.seed ^ 0xbeef);
        let most = self.plan.messages / 12 + 4;
        while !stop.load(Ordering::Relaxed) && self.hooks_killed() < most {
            std::thread::sleep(Duration::from_millis(15));
            let what = if random.chance(75) {
                " hook demo "
            } else {
                " tick"
            };
            for pid in self.world.processes(what) {
                if random.chance(30) {
                    kill(pid);
                    self.hooks.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn progress(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.plan.messages) * 100 / self.plan.messages.max(1)
    }

    fn over(&self) -> bool {
        self.progress() >= 100 || self.plan.end.is_some_and(|end| Instant::now() > end)
    }

    fn until(&self, percent: usize) {
        while self.progress() < percent && !self.over() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Agents end and are replaced; in the middle the server is killed, later the disk is full.
    pub(crate) fn disasters(&self, agents: usize) {
        let mut random = Random::new(self.plan.seed ^ 0xdead);
        for percent in (5..=95).step_by(5) {
            self.until(percent);
            if self.over() {
                return;
            }
            match percent {
                50 => self.restart(agents),
                75 => self.fill(),
                _ => self.replace(&mut random),
            }
        }
    }

    fn replace(&self, random: &mut Random) {
        let id = {
            let mut agents = self.world.agents.lock().unwrap();
            if agents.len() < 2 {
                return;
            }
            let at = random.below(agents.len());
            agents.swap_remove(at)
        };
        match random.below(3) {
            0 => {
                self.world.run(["close", &id]);
            }
            1 => {
                let mut extra = self.extra.lock().unwrap();
                let number = 1_000_000 + extra.len();
                let clean = format!("«{number}»\nCRASH");
                self.world.run(["send", &id, "-m", &clean]);
                extra.push(Sent {
                    number,
                    sender: usize::MAX,
                    receiver: id.clone(),
                    clean,
                    accepted: None,
                });
            }
            _ => {
                if let Some(pid) = self.world.pane_pid(&id) {
                    kill(pid);
                }
            }
        }
        self.agents.fetch_add(1, Ordering::Relaxed);
        self.world.launch();
    }

    fn restart(&self, agents: usize) {
        self.world.agents.lock().unwrap().clear();
        let pid = self.world.tmux(["display-message", "-p", "#{pid}"]).out;
        if let Ok(pid) = pid.trim().parse() {
            kill(pid);
            self.servers.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(100));
        self.world.start_server();
        // The new server's panes have the old one's ids.
        for _ in 0..agents {
            self.world.launch();
        }
    }

    fn fill(&self) {
        if !self.world.own_disk {
            return;
        }
        let path = self.world.at("state/filler");
        if let Ok(mut file) = fs::File::create(&path) {
            let block = vec![b'x'; 64 * 1024];
            while file.write_all(&block).is_ok() {}
            while file.write_all(b"x").is_ok() {}
        }
        self.disks.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(2));
        let _ = fs::remove_file(path);
    }

    /// What there is to know about receivers whose queues did not empty.
    pub(crate) fn stuck(&self, rows: &[Value]) -> Vec<String> {
        let mut ids: Vec<&str> = rows
            .iter()
            .filter(|row| {
                matches!(
                    row["status"].as_str(),
                    Some("queued" | "claimed" | "placed")
                )
            })
            .filter_map(|row| row["receiver"].as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter()
            .map(|id| {
                let explained = self.world.run(["explain", id, "--json"]).out;
                let status = self.world.run(["status", id, "--json"]).out;
                let status: Value = serde_json::from_str(&status).unwrap_or_default();
                let pane = status["pane"].as_str().unwrap_or("");
                let format = "#{@conductor_seq} #{@conductor_entered} #{@conductor_dialog} #{pane_current_command} #{pane_in_mode} #{session_activity}";
                let options = self.world.tmux(["display-message", "-p", "-t", pane, format]).out;
                let screen = self.world.tmux(["capture-pane", "-p", "-t", pane]).out;
                let screen: Vec<&str> = screen.lines().rev().filter(|l| !l.is_empty()).take(4).collect();
                format!("stuck: {explained} {status} options {options} screen {screen:?}")
            })
            .collect()
    }

    /// Lets people come by until nothing is open any more; returns every message as it is recorded.
    pub(crate) fn settle(&self, limit: Duration) -> Vec<Value> {
        let end = Instant::now() + limit;
        loop {
            self.world.run(["sessions"]);
            let done = self.world.run(["inbox", "--limit", "1000000", "--json"]);
            let rows: Vec<Value> = serde_json::from_str(&done.out).unwrap_or_default();
            let open = rows.iter().any(|row| {
                matches!(
                    row["status"].as_str(),
                    Some("held" | "queued" | "claimed" | "placed")
                )
            });
            if (!open && !rows.is_empty()) || Instant::now() > end {
                return rows;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
