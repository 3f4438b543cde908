//! What goes wrong meanwhile: hooks, agents and the server are killed, the disk is full.

use crate::random::Random;
use crate::senders::{Plan, Sent};
use crate::world::{Running, World, kill, start};
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
    evicted: AtomicUsize,
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
            evicted: AtomicUsize::new(0),
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

    /// Agents whose pane another program took over.
    pub(crate) fn evicted(&self) -> usize {
        self.evicted.load(Ordering::Relaxed)
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

    /// Agents end and are replaced, clocks are set; in the middle the server is killed, later the disk is full.
    pub(crate) fn disasters(&self, agents: usize) {
        let mut random = Random::new(self.plan.seed ^ 0xdead);
        for percent in (5..=95).step_by(5) {
            self.until(percent);
            if self.over() {
                break;
            }
            match percent {
                // Timers, and the hooks of agents that are launched meanwhile, have a wrong clock.
                20 => self.set_clock(Some("3600000")),
                35 => self.set_clock(Some("-3600000")),
                45 => self.set_clock(None),
                50 => self.restart(agents, &mut random),
                75 => self.fill(),
                _ => self.replace(&mut random),
            }
        }
        self.set_clock(None);
    }

    fn set_clock(&self, skew: Option<&str>) {
        let name = "CONDUCTOR_CLOCK_SKEW";
        match skew {
            Some(ms) => self.world.tmux(["set-environment", "-g", name, ms]),
            None => self.world.tmux(["set-environment", "-gu", name]),
        };
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
        match random.below(5) {
            0 => {
                self.world.run(["close", &id]);
            }
            1 => {
                let number = 1_000_000 + self.extra.lock().unwrap().len();
                self.send(number, &id, "\nCRASH");
            }
            how => self.evict(&id, how),
        }
        self.agents.fetch_add(1, Ordering::Relaxed);
        self.world.launch();
    }

    /// Kills an agent from outside; with some, another program takes over the pane, at once or after the pane was left dead for a while.
    fn evict(&self, id: &str, how: usize) {
        let Some(pane) = self.world.pane(id) else {
            return;
        };
        match how {
            2 => {
                if let Some(pid) = self.world.pane_pid(&pane) {
                    kill(pid);
                }
            }
            3 => {
                self.world.respawn(&pane, true);
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.world
                    .tmux(["set-option", "-p", "-t", &pane, "remain-on-exit", "on"]);
                if let Some(pid) = self.world.pane_pid(&pane) {
                    kill(pid);
                }
                std::thread::sleep(Duration::from_millis(300));
                self.world.respawn(&pane, false);
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends one message outside the plan.
    fn send(&self, number: usize, receiver: &str, more: &str) {
        let clean = format!("«{number}»{more}");
        let sending = self.begin(number, receiver, &clean);
        self.note(number, receiver, clean, sending);
    }

    fn begin(&self, number: usize, receiver: &str, text: &str) -> Running {
        let key = format!("k{number}");
        let arguments = ["send", receiver, "--key", &key, "-m", text, "--json"];
        start(self.world.helper(arguments), "")
    }

    fn note(&self, number: usize, receiver: &str, clean: String, sending: Running) {
        let done = sending.done(Duration::from_mins(1));
        let message: Value = serde_json::from_str(&done.out).unwrap_or_default();
        self.extra.lock().unwrap().push(Sent {
            number,
            sender: usize::MAX,
            receiver: receiver.to_owned(),
            clean,
            accepted: message["id"].as_str().and_then(|id| id.parse().ok()),
        });
    }

    /// Another program takes over an agent's pane at the very moment at which a message is on its way into it.
    pub(crate) fn takeovers(&self, times: usize) {
        let mut random = Random::new(self.plan.seed ^ 0x7a4e);
        for n in 0..times {
            let Some(id) = self.world.launch() else {
                continue;
            };
            self.world
                .agents
                .lock()
                .unwrap()
                .retain(|other| *other != id);
            let Some(pane) = self.world.pane(&id) else {
                continue;
            };
            self.world
                .run(["wait", &id, "--for", "idle", "--timeout", "10"]);
            let number = 3_000_000 + n;
            let clean = format!("«{number}»");
            let sending = self.begin(number, &id, &clean);
            // Before the paste, between it and its Enter, or after both.
            let most = if random.chance(50) { 40 } else { 500 };
            std::thread::sleep(Duration::from_millis(random.below(most) as u64));
            self.world.respawn(&pane, n % 2 == 0);
            self.evicted.fetch_add(1, Ordering::Relaxed);
            self.note(number, &id, clean, sending);
        }
    }

    /// The server dies with messages on their way and a new one gives the same ids to other panes, again and again.
    pub(crate) fn restarts(&self, cycles: usize) {
        let mut random = Random::new(self.plan.seed ^ 0xc6);
        for cycle in 0..cycles {
            let agents = self.world.agents.lock().unwrap().clone();
            for n in 0..4 {
                let number = 2_000_000 + cycle * 4 + n;
                if let Some(id) = random.pick(&agents) {
                    // Some are still at work when the next ones come, so that those wait.
                    self.send(number, id, if n == 0 { "\nSLEEP 0.5" } else { "" });
                }
            }
            std::thread::sleep(Duration::from_millis(random.below(150) as u64));
            self.restart(2, &mut random);
        }
    }

    fn restart(&self, agents: usize, random: &mut Random) {
        self.world.agents.lock().unwrap().clear();
        let pid = self.world.tmux(["display-message", "-p", "#{pid}"]).out;
        if let Ok(pid) = pid.trim().parse() {
            kill(pid);
            self.servers.fetch_add(1, Ordering::Relaxed);
            // A client that meets a dying server fails; that is not what is tested.
            let end = Instant::now() + Duration::from_secs(1);
            let lives = || {
                fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|stat| !stat.contains(") Z "))
            };
            while lives() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_millis(random.below(200) as u64));
        self.world.start_server();
        // The new server's panes have the old one's ids, and some of those are now nobody's agent.
        for _ in 0..random.below(4) {
            self.world.recorder(None);
        }
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

    /// Lets people come by until nothing is open any more; returns every message as it is recorded. Agents whose server died are started
    /// again: what waited for them has to reach them.
    pub(crate) fn settle(&self, limit: Duration) -> Vec<Value> {
        let end = Instant::now() + limit;
        loop {
            self.world.run(["sessions"]);
            self.world.run(["recover", "--resume"]);
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
