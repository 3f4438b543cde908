//! A copy of the plugin's scripts in a directory of its own, with releases beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The version of this checkout.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) struct Place {
    dir: tempfile::TempDir,
    /// What `CONDUCTOR_RELEASES` is.
    pub(crate) releases: String,
}

/// What a script said and how it ended.
pub(crate) struct Said(Output);

impl Said {
    fn text(&self) -> String {
        let Output { stdout, stderr, .. } = &self.0;
        String::from_utf8_lossy(stdout).into_owned() + &String::from_utf8_lossy(stderr)
    }

    /// All that it said, when it succeeded.
    pub(crate) fn done(&self) -> String {
        assert!(self.0.status.success(), "{}", self.text());
        self.text()
    }

    /// Its exit code; 128 and a signal's number after that signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// All that it said, when it failed by its own decision.
    pub(crate) fn refused(&self) -> String {
        assert_eq!(self.0.status.code(), Some(1), "{}", self.text());
        self.text()
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let releases = format!("file://{}/releases", dir.path().display());
        let place = Self { dir, releases };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in [
            "install.sh",
            "uninstall.sh",
            "lib.sh",
            "fetch.sh",
            "share.sh",
            "release",
        ] {
            place.copy(
                &root.join("scripts").join(file),
                &format!("plugin/scripts/{file}"),
            );
        }
        for file in [
            "Cargo.toml",
            "Cargo.lock",
            "CHANGELOG.md",
            "README.md",
            "LICENSE",
            "LICENSE-MIT",
            "LICENSE-APACHE",
            "conductor.tmux",
            "packaging/homebrew/agent-conductor.rb",
        ] {
            place.copy(&root.join(file), &format!("plugin/{file}"));
        }
        // The real file may name a repository; what is tested here has none unless a test says so.
        let manifest = place.read("plugin/Cargo.toml");
        let manifest: String = manifest
            .lines()
            .filter(|line| !line.starts_with("repository = "))
            .map(|line| format!("{line}\n"))
            .collect();
        place.write("plugin/Cargo.toml", &manifest);
        std::fs::create_dir(place.path("tmp")).unwrap();
        for key in ["key", "stranger"] {
            output(
                "ssh-keygen",
                &[
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    key,
                    "-f",
                    &place.path(key),
                ],
            );
        }
        let public = place.read("key.pub");
        place.write(
            "plugin/scripts/allowed_signers",
            &format!("# who signs\nrelease namespaces=\"agent-conductor\" {public}"),
        );
        place.program("path/cargo", &place.cargo());
        place.program(
            "path/rustc",
            "#!/bin/sh\ncase $1 in --version) echo 'rustc 9.0.0' ;; *) echo 'host: unknown' ;; esac\n",
        );
        place
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.dir.path().join(name).symlink_metadata().is_ok()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "files of a test's own directory")]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn copy(&self, from: &Path, to: &str) {
        self.write(to, &std::fs::read_to_string(from).unwrap());
        let mode = std::fs::metadata(from).unwrap().permissions();
        std::fs::set_permissions(self.path(to), mode).unwrap();
    }

    pub(crate) fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// All files and links below, by their path from the place's root, sorted.
    pub(crate) fn tree(&self, below: &str) -> Vec<String> {
        fn walk(root: &Path, dir: PathBuf, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    walk(root, path, found);
                } else {
                    found.push(
                        path.strip_prefix(root)
                            .unwrap()
                            .to_string_lossy()
                            .into_owned(),
                    );
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), self.dir.path().join(below), &mut found);
        found.sort();
        found
    }

    /// All there is, directories too, but for what builds leave.
    pub(crate) fn everything(&self) -> Vec<String> {
        let found = output("find", &[&self.path("")]);
        let mut found: Vec<_> = found
            .lines()
            .filter(|path| !path.contains("/plugin/target"))
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    }

    /// A program that answers as the binary does, as far as the scripts ask it.
    fn fake(&self, version: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            r##"#!/bin/sh
case "$*" in
  --version) echo "conductor-hook {version}" ;;
  'generate man --dir '*)
    mkdir -p "$4/man1" "$4/man5"
    echo "made by {version}" | tee "$4/man1/conductor-hook.1" >"$4/man5/conductor-flow.5" ;;
  'generate completions '*) echo "# $3 for ${{0##*/}}, made by {version}" ;;
  'audit list --limit 1') [ ! -e "{dir}/newer-state" ] || [ {version} != {VERSION} ] || exit 7 ;;
  'sessions --json') if [ -e "{dir}/agents-run" ]; then echo '[{{}}]'; else echo '[]'; fi ;;
  'plugin unload --all')
    if [ -e "{dir}/out-of-reach" ]; then echo 'unload the plugin from /elsewhere: no tmux server' >&2; exit 1; fi
    echo 'unloaded from /one'; echo 'unloaded from /other' ;;
  'generate units systemd --dir '*)
    mkdir -p "$5"
    printf '[Timer]\nOnCalendar=minutely\n' >"$5/conductor-tick.timer"
    printf 'Environment="PATH=/now"\nExecStart="%s" "--home" "%s" "-S" "/now" "tick"\n' "$0" "$HOME/.conductor" >"$5/conductor-tick.service" ;;
  'generate units launchd --dir '*)
    mkdir -p "$5"
    printf '<key>Label</key>\n<string>conductor-tick</string>\n<string>--home</string>\n<string>%s</string>\n' "$HOME/.conductor" >"$5/conductor-tick.plist" ;;
  'provider setup '*' --undo') echo "$3" >>"{dir}/undone" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"##
        )
    }

    /// A compiler that needs no time.
    fn cargo(&self) -> String {
        let dir = self.dir.path().display();
        let fake = self.fake(VERSION);
        format!(
            r#"#!/bin/sh
[ ! -e "{dir}/build-fails" ] || exit 101
[ ! -e "{dir}/build-is-stopped" ] || kill -TERM "$PPID"
while [ "$1" != --target-dir ]; do shift; done
mkdir -p "$2/release"
cat >"$2/release/conductor-hook" <<'FAKE'
{fake}
FAKE
chmod 755 "$2/release/conductor-hook"
"#
        )
    }

    /// A signed release whose binary says what it is.
    pub(crate) fn release(&self, version: &str) {
        self.release_saying(version, version);
    }

    /// A signed release of `version` whose binary says that it is `says`.
    pub(crate) fn release_saying(&self, version: &str, says: &str) {
        let dir = format!("releases/download/v{version}");
        self.program("made/conductor-hook", &self.fake(version));
        let out = self.path(&dir);
        self.run(
            "release",
            &["package", &self.path("made/conductor-hook"), &out],
        )
        .done();
        if says != version {
            let archive = self.path(&self.archive());
            let name = self
                .archive()
                .rsplit('/')
                .next()
                .unwrap()
                .replace(".tar.gz", "");
            self.program(
                &format!("again/{name}/bin/conductor-hook"),
                &self.fake(says),
            );
            output("tar", &["-czf", &archive, "-C", &self.path("again"), &name]);
        }
        self.run("release", &["sums", &out]).done();
        self.run("release", &["sign", &out, &self.path("key")])
            .done();
    }

    /// The archive of the release of [`VERSION`].
    pub(crate) fn archive(&self) -> String {
        let tree = self.tree(&released(""));
        tree.into_iter()
            .find(|name| name.ends_with(".tar.gz"))
            .unwrap()
    }

    /// Adds to a file of the release, named alone or by its whole path.
    pub(crate) fn append(&self, name: &str, text: &str) {
        let name = if name.contains('/') {
            name.to_owned()
        } else {
            released(name)
        };
        let path = self.path(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(text.as_bytes());
        #[expect(clippy::disallowed_methods, reason = "files of a test's own directory")]
        std::fs::write(path, bytes).unwrap();
    }

    /// Signs the release once more with another key.
    pub(crate) fn sign_with(&self, key: &str) {
        self.run(
            "release",
            &["sign", &self.path(&released("")), &self.path(key)],
        )
        .done();
    }

    pub(crate) fn version(&self, binary: &str) -> String {
        let said = output(&self.path(binary), &["--version"]);
        said.trim().rsplit(' ').next().unwrap().to_owned()
    }

    /// Command lines of processes that run a script of this place.
    pub(crate) fn left_running(&self) -> Vec<String> {
        let scripts = self.path("plugin/scripts/");
        // What was just sent a signal may take a moment.
        let mut rounds = 0;
        loop {
            let all = output("ps", &["-axww", "-o", "command="]);
            let ours = all.lines().filter(|line| line.contains(&scripts));
            let left: Vec<String> = ours.map(str::to_owned).collect();
            rounds += 1;
            if left.is_empty() || rounds > 50 {
                return left;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Said {
        self.run_with(script, arguments, &[])
    }

    #[expect(clippy::disallowed_methods, reason = "tests start what they test")]
    pub(crate) fn run_with(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Said {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(self.path(&format!("plugin/scripts/{script}")))
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.path("path")))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("CONDUCTOR_RELEASES", &self.releases)
            .env("CONDUCTOR_TMUX_SOCKET", self.path("no-server"))
            .envs(more.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Said(output)
    }
}

/// What a program prints, which has to succeed.
#[expect(clippy::disallowed_methods, reason = "tests start what they test")]
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The path of a file of the release of [`VERSION`].
pub(crate) fn released(name: &str) -> String {
    format!("releases/download/v{VERSION}/{name}")
}
