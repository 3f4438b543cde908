# A template: `scripts/release formula DIR` fills in what stands between @ signs.
class AgentConductor < Formula
  desc "Several AI coding agents side by side in tmux, without a daemon"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on :linux
  depends_on "tmux"

  on_arm do
    url "@REPOSITORY@/releases/download/v@VERSION@/agent-conductor-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
    sha256 "@SHA256:aarch64-unknown-linux-gnu@"
  end
  on_intel do
    url "@REPOSITORY@/releases/download/v@VERSION@/agent-conductor-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
    sha256 "@SHA256:x86_64-unknown-linux-gnu@"
  end

  def install
    bin.install "bin/conductor-hook", "bin/conductor"
    man1.install Dir["share/man/man1/*"]
    man5.install Dir["share/man/man5/*"]
    bash_completion.install Dir["share/bash-completion/completions/*"]
    zsh_completion.install Dir["share/zsh/site-functions/*"]
    fish_completion.install Dir["share/fish/vendor_completions.d/*"]
    pkgshare.install "share/agent-conductor/conductor.tmux"
  end

  def caveats
    <<~TEXT
      In tmux.conf:
        run-shell #{opt_pkgshare}/conductor.tmux
    TEXT
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/conductor-hook --version")
    ENV["CONDUCTOR_HOME"] = testpath/"state"
    system bin/"conductor-hook", "init"
  end
end
