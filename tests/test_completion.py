"""Shell completion: what a shell offers after the script was read."""

import contextlib
import shutil
import subprocess
import sys
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "there"),
    [
        (("cl",), ["clip"]),
        (("clip", "re"), ["retarget"]),
        (("train", "go2_v"), ["go2_velocity"]),
        (("train", "go2_velocity", "--num-e"), ["--num-envs"]),
        (("train", "go2_velocity", "--robot", "dro"), ["droid"]),
        (("clip", "check", "happy_n"), ["happy_nod"]),
        (("eval", "run", "--max-v"), ["--max-velocity-error"]),
        (("completion", "f"), ["fish"]),
    ],
)
def test_bash_completes(scripts: dict[str, str], words: tuple[str, ...], there: list[str]):
    assert offered(scripts["bash"], "robopolicy", *words) == there


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
