//! Tests of the reader: what is complete, and what is found in what is not.

use super::*;
use proptest::prelude::*;

fn argvs(text: &str) -> Vec<String> {
    let commands = read(text).commands;
    commands
        .iter()
        .map(|simple| simple.argv().join("|"))
        .collect()
}

fn complete(text: &str, wanted: &[&str]) {
    let script = read(text);
    assert_eq!(script.unclear, [""; 0], "{text}");
    assert_eq!(argvs(text), wanted, "{text}");
}

#[test]
fn literal_words_are_complete() {
    complete("ls -la 'a b' \"c d\" e\\ f", &["ls|-la|a b|c d|e f"]);
    complete(
        "a && b || c; d | e\nf\n\n# comment\ng # more",
        &["a", "b", "c", "d", "e", "f", "g"],
    );
    complete("a &&\n  b", &["a", "b"]);
    complete(
        "a 2>&1 >/dev/null 2> /dev/null </dev/null &>/dev/null x",
        &["a|x"],
    );
    complete("a \\\n b\\\nc", &["a|bc"]);
    complete(
        "grep \"end$\" 'it'\"'\"'s' @{1} {} HEAD~1 a!=b x$",
        &["grep|end$|it's|@{1}|{}|HEAD~1|a!=b|x$"],
    );
    complete("a \"\\$x \\` \\\\ \\\" \\n\"", &["a|$x ` \\ \" \\n"]);
    complete("ls *.rs src/?[ab]", &["ls|*.rs|src/?[ab]"]);
    complete("[ -f x ]", &["[|-f|x|]"]);
    complete("echo '日本語 — fine'", &["echo|日本語 — fine"]);
    complete("", &[]);
    complete("a ''", &["a|"]);
}

#[test]
fn a_here_document_inside_quotes_is_one_word() {
    let text = "git commit -m \"$(cat <<'EOF'\nit's $5 `x` \"q\" (a)\n\n  b\nEOF\n)\" -q";
    complete(
        text,
        &["cat", "git|commit|-m|it's $5 `x` \"q\" (a)\n\n  b|-q"],
    );
    complete("a \"x $(cat <<\"E\"\ny\nE\n) z\"", &["cat", "a|x y z"]);
    for open in [
        "a \"$(cat <<EOF\nx\nEOF\n)\"",
        "a $(cat <<'EOF'\nx\nEOF\n)",
        "a \"$(cat <<'EOF'\nx\nEOF\nb)\"",
        "a \"$(cat b <<'EOF'\nx\nEOF\n)\"",
        "a \"$(cat <<'EOF'\nx\n EOF\n)\"",
        "a \"$(cat <<'EOF'\nx) ; b (\nEOF\n)\"",
        "a \"$(cat <<'EOF' ; b\nx\nEOF\n)\"",
        "a \"$(cat <<-'EOF'\nx\nEOF\n)\"",
    ] {
        assert!(!read(open).is_complete(), "{open}");
    }
}

#[test]
fn everything_else_is_unclear() {
    for text in [
        "a $x",
        "a ${x}",
        "a \"$x\"",
        "a $(b)",
        "a `b`",
        "a \"`b`\"",
        "a $((1))",
        "a $[1]",
        "a $'x'",
        "a $\"x\"",
        "$x",
        "\"$x\" y",
        "a > f",
        "a >> f",
        "a < f",
        "a <> f",
        "a 2> f",
        "a &> f",
        "a >& f",
        "a >| f",
        "a <<E\nE",
        "a <<< x",
        "a <(b)",
        "a >(b)",
        "x=1 a",
        "x=1",
        "x+=1 a",
        "x[0]=1 a",
        "x=(1 2)",
        "a &",
        "a & b",
        "(a)",
        "{ a; }",
        "if a; then b; fi",
        "while a; do b; done",
        "for i in 1; do a; done",
        "case a in b) c;; esac",
        "f() { a; }",
        "function f { a; }",
        "! a",
        "[[ a ]]",
        "((1))",
        "coproc a",
        "a {b,c}",
        "a {1..3}",
        "{a,b} c",
        "~user/a",
        "a ~user",
        "~/a",
        "a x=~/y",
        "a !x",
        "a \"!x\"",
        "a !!",
        "*a b",
        "?",
        "[x] y",
        "a\u{0}b",
        "a\rb",
        "a\u{202e}b",
        "a 'x\u{200b}y'",
        "a\u{a0}b",
        "\u{430} b",
        "a b\u{e9}",
        "a 'b",
        "a \"b",
        "a \\",
        "a `b",
        "a $(b",
        "a (",
        ")",
        "a )",
        "&& a",
        "a &&",
        "a | ; b",
        ";; a",
        "a |& b",
        "eval a",
        "source a",
        ". a",
        "exec a",
        "alias a=b",
        "set -x",
        "export x=1",
        "trap a EXIT",
        "hash -p /x ls",
        "shopt -s x",
        "unset x",
        "read x",
        "let x=1",
        "a =b",
        "'' a",
        "a\u{c}b",
        "x\\\n=1 a",
        "a\u{2028}b",
        "time",
        "time -p a",
        "time '-p' a",
    ] {
        let script = read(text);
        assert!(
            !script.is_complete(),
            "{text:?} is complete: {:?}",
            script.commands
        );
    }
}

#[test]
fn wrappers_are_looked_through() {
    complete(
        "timeout -k 5 10 nice -n 3 ls",
        &["timeout|-k|5|10|nice|-n|3|ls", "nice|-n|3|ls", "ls"],
    );
    complete("env ls", &["env|ls", "ls"]);
    complete("bash -c 'a && b'", &["bash|-c|a && b", "a", "b"]);
    complete("bash -euo pipefail -c a", &["bash|-euo|pipefail|-c|a", "a"]);
    for (text, found) in [
        ("sudo -u x danger", "danger"),
        ("sudo --what x danger y", "danger|y"),
        ("xargs -n1 danger", "danger"),
        ("find . -exec danger {} +", "danger|{}"),
        ("find . -name x -ok danger {} \\; -print", "danger|{}"),
        ("env -i A=b danger", "danger"),
        ("env -S 'danger x'", "danger x"),
        ("nohup danger &", "danger"),
        ("watch 'danger x'", "danger|x"),
        ("ssh host danger", "danger"),
        ("ssh host 'x; danger'", "danger"),
        ("su -c danger root", "danger"),
        ("script -c 'danger' /dev/null", "danger"),
        ("eval 'x; danger'", "danger"),
        ("bash -c \"danger $X\"", "danger|$X"),
        ("bash <<< danger", "danger"),
        ("sh <<EOF\ndanger\nEOF", "danger"),
        ("zsh -ic danger", "danger"),
        ("command -p danger", "danger"),
        ("exec -a x danger", "danger"),
        ("time -f x danger", "danger"),
        ("busybox danger", "danger"),
        ("env timeout 5 bash -c 'nice danger'", "danger"),
    ] {
        let script = read(text);
        assert!(
            argvs(text).iter().any(|argv| argv == found),
            "{text}: {:?}",
            argvs(text)
        );
        assert!(
            !script.is_complete() || text.starts_with("env timeout"),
            "{text}"
        );
    }
}

/// Ways to hide a command in syntax: each is found, and none is complete.
#[test]
fn hidden_commands_are_found() {
    for text in [
        "a $(danger)",
        "a `danger`",
        "a \"$(danger)\"",
        "a \"`danger`\"",
        "a $(b $(danger))",
        "a `b \\`danger\\``",
        "a <(danger)",
        "a >(danger)",
        "a $((1 + $(danger)))",
        "a ${x:-$(danger)}",
        "a ${x:=`danger`}",
        "a \"${x:-\"$(danger)\"}\"",
        "a ${x[$(danger)]}",
        "a $[$(danger)]",
        "x=$(danger)",
        "x=$(danger) a",
        "x[$(danger)]=1",
        "x=(1 $(danger))",
        "a & danger",
        "a &danger",
        "(danger)",
        "{ danger; }",
        "a; (b; danger)",
        "if danger; then a; fi",
        "if a; then danger; fi",
        "if a; then b; elif danger; then c; fi",
        "if a; then b; else danger; fi",
        "while danger; do a; done",
        "until a; do danger; done",
        "for i in a; do danger; done",
        "for i in $(danger); do a; done",
        "select i in a; do danger; done",
        "case a in b) danger;; esac",
        "case $(danger) in b) a;; esac",
        "case a in (b) danger;; esac",
        "f() { danger; }; f",
        "f () { danger; }",
        "function f { danger; }",
        "function f() { danger; }",
        "! danger",
        "time danger",
        "time -p danger",
        "coproc danger",
        "coproc X { danger; }",
        "a | danger",
        "a |& danger",
        "a && danger",
        "a || danger",
        "a;danger",
        "a\ndanger",
        "a <<E\n$(danger)\nE",
        "a <<E\n`danger`\nE",
        "a <<-E\n\t$(danger)\n\tE\nb",
        "a <<< $(danger)",
        "a > $(danger)",
        "[[ -n $(danger) ]]",
        "[[ a && $(danger) ]]",
        "(( $(danger) ))",
        "a \"b\\\"$(danger)\"",
        "a 'x' $(danger) 'y'",
        "a {b,$(danger)}",
        "a\\\n$(danger)",
        "dan\\\nger",
        "d'ange'r",
        "\"danger\"",
        "\\danger",
        "a # x\ndanger",
        "x=1 danger",
        "x=1 y=2 danger",
        "x+=1 danger",
        "2>f danger",
        ">f danger",
        "<f danger",
        "a $'x' && danger",
        "a $\"$(danger)\"",
        "a ${x/$(danger)/y}",
        "trap 'danger' EXIT",
        "if [ $(danger) ]; then a; fi",
        "a ~$(danger)",
        "f=1;danger",
        "{ a; } | { danger; }",
        "a <<E && danger\nx\nE",
        "a <<'E'; danger\nx\nE",
        "[ a ] && danger",
        "eval \"$(danger)\"",
        "a 2>&1 | danger",
        "export X=$(danger)",
    ] {
        let script = read(text);
        let found = script
            .commands
            .iter()
            .any(|simple| simple.program() == "danger");
        assert!(found, "{text}: {:?}", argvs(text));
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("{}danger{}", "$(".repeat(3000), ")".repeat(3000));
    assert!(!read(&deep).is_complete());
    let deep = "sudo -Z ".repeat(2000);
    assert!(!read(&deep).is_complete());
    assert!(!read(&format!("{}danger", "nice ".repeat(60))).is_complete());
    assert!(!read(&"a;".repeat(MAX_COMMANDS + 1)).is_complete());
    assert!(!read(&"a".repeat(MAX_BYTES + 1)).is_complete());
    let begun = std::time::Instant::now();
    let _ = read(&"a \"$(cat <<'E'\n".repeat(4000));
    let _ = read(&"${".repeat(20_000));
    let _ = read(&"`".repeat(20_000));
    assert!(begun.elapsed().as_secs() < 5);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn nor_does_anything_that_looks_like_shell(
        parts in prop::collection::vec(prop::sample::select(vec![
            "a", "b c", " ", "\n", "'", "\"", "\\", "$", "$(", ")", "`", "${", "}", "{", "<<E", "E", "<", ">", "&", "|", ";", "#", "!", "~", "*", "[", "]",
            "=", "x=", "if", "then", "fi", "for", "do", "done", "case", "in", "esac", "function", "()", "time", "coproc", "bash -c", "env", "sudo", "<(", "$'",
            "$\"", "2>", "cat <<'E'\n", "\u{e9}", "\u{202e}",
        ]), 0..40)
    ) {
        let _ = read(&parts.concat());
    }

    /// What is joined from quoted words comes back as those words.
    #[test]
    fn quoted_words_come_back(words in prop::collection::vec("[ -~]{0,12}", 1..6)) {
        let words: Vec<String> = std::iter::once("prog".to_owned()).chain(words).collect();
        let line: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let script = read(&line.join(" "));
        prop_assert!(script.is_complete());
        prop_assert_eq!(script.commands[0].argv(), words);
    }
}
