"""Shell completion: what a shell offers after the script was read."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robopolicy.cli import main
from robopolicy.completion import SHELLS

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Path of every shell's script."""
    folder, found = tmp_path_factory.mktemp("completion"), {}
    for shell in SHELLS:
        path = folder / f"robopolicy.{shell}"
        with path.open("w") as file, contextlib.redirect_stdout(file):
            assert main(["completion", shell]) == 0
        found[shell] = str(path)
    return found


def offered(script: str, *words: str) -> list[str]:
    """What bash offers for the last of some words."""
    line = " ".join(f"'{word}'" for word in words)
    text = f"""
        . {script}
        COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
        $(complete -p robopolicy | sed 's/.*-F \\([^ ]*\\) .*/\\1/') robopolicy "${{COMP_WORDS[COMP_CWORD]}}" ""
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True, cwd="/")
    return [word.strip() for word in done.stdout.splitlines() if word.strip()]


BEGUN = {
    "cl": "clip",
    "clip re": "retarget",
    "train go2_v": "go2_velocity",
    "train go2_velocity --num-e": "--num-envs",
    "train go2_velocity --robot dro": "droid",
    "clip check happy_n": "happy_nod",
    "eval run --max-v": "--max-velocity-error",
    "completion f": "fish",
}
"""The beginnings of command lines, and what the last word of each becomes."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("line", "there"), BEGUN.items())
def test_bash_completes(scripts: dict[str, str], line: str, there: str):
    assert offered(scripts["bash"], "robopolicy", *line.split()) == [there]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
@pytest.mark.parametrize(("line", "there"), BEGUN.items())
def test_fish_completes(scripts: dict[str, str], line: str, there: str):
    text = f"source {scripts['fish']}; complete -C 'robopolicy {line}'"
    done = subprocess.run(["fish", "--no-config", "-c", text], capture_output=True, text=True, check=True, cwd="/")
    assert (done.stderr, [row.split("\t")[0] for row in done.stdout.splitlines()]) == ("", [there])


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize("load", ["source <(cat {})", 'eval "$(cat {})"'])
def test_zsh_completes(scripts: dict[str, str], tmp_path: Path, load: str):
    """Typed into a terminal: zsh completes nowhere else. Ctrl-X notes the line as it is then, and empties it."""
    lines = tmp_path / "lines"
    lines.touch()
    setup = f"""
        cd /; autoload -Uz compinit; compinit -D -u; {load.format(scripts["zsh"])}
        note() {{ print -r -- "$BUFFER" >>{lines}; BUFFER= }}; zle -N note; bindkey '^X' note
        note_ready() {{ print ready >>{lines} }}; zle -N zle-line-init note_ready; bindkey '^I' complete-word
    """
    (tmp_path / ".zshrc").write_text(setup)
    terminal, screen = os.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-d", "-i"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), screen),
        env=os.environ | {"ZDOTDIR": str(tmp_path), "TERM": "dumb"},
        start_new_session=True,
    )
    try:
        for count, line in enumerate(["", *BEGUN]):
            if line:
                os.write(terminal, f"robopolicy {line}\t\x18".encode())
            end = time.monotonic() + 20
            while len(lines.read_text().splitlines()) <= count:
                assert time.monotonic() < end, os.read(terminal, 10_000)
                time.sleep(0.02)
    finally:
        zsh.kill()
        zsh.wait()
        os.close(terminal)
        os.close(screen)
    found = [shlex.split(line)[-1] for line in lines.read_text().splitlines()[1:]]
    assert found == list(BEGUN.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_the_commands_and_the_names(scripts: dict[str, str], shell: str):
    text = Path(scripts[shell]).read_text()
    for word in ("retarget", "go2_velocity", "happy_nod", "droid", "cell-episodes"):
        assert word in text
    known = shutil.which(shell)
    if known:
        subprocess.run([known, "-n", scripts[shell]], check=True)


def test_another_shell_is_refused_with_those_that_there_are(capfd: pytest.CaptureFixture[str]):
    assert main(["completion", "tcsh"]) == 2
    said = capfd.readouterr().err
    assert all(shell in said for shell in ("tcsh", *SHELLS))


def test_without_shtab_it_says_what_to_install(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'robopolicy[completion]'" in capfd.readouterr().err
