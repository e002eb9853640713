"""A piece of a clip: its frames are the clip's, its ends are where they were asked for, and a loop is one."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from robopolicy.cli import main
from robopolicy.motion.check.seam import seam
from robopolicy.motion.clip import Clip, load_clips


@pytest.fixture
def walk(tmp_path: Path) -> Clip:
    """Four strides of 0.64 s, 32 frames each."""
    clip = dataclasses.replace(load_clips("droid", "walk_forward_0.30")[0], name="walk")
    assert (len(clip), clip.fps, clip.loop) == (128, 50.0, True)
    clip.save(tmp_path / "walk.npz")
    return clip


@pytest.fixture
def run(tmp_path: Path, capsys, monkeypatch):
    """Runs ``clip cut walk.npz``, or another command, in its folder; returns the piece, or the line that refuses it."""
    monkeypatch.chdir(tmp_path)

    def command(flags: str, begin: str = "cut walk.npz --output piece.npz") -> Clip | str:
        status = main(["clip", *begin.split(), *flags.split()])
        said = capsys.readouterr()
        if status == 0:
            assert "wrote piece.npz" in said.out
            return Clip.load("piece.npz")
        assert not Path("piece.npz").exists()
        return said.err

    return command


def frames(piece: Clip | str, clip: Clip, chosen: slice) -> None:
    assert isinstance(piece, Clip), piece
    np.testing.assert_array_equal(piece.qpos, clip.qpos[chosen])
    np.testing.assert_array_equal(piece.qvel, clip.qvel[chosen])
    assert clip.phase is not None
    np.testing.assert_array_equal(piece.phase, clip.phase[chosen])
    assert (piece.fps, piece.robot, piece.joint_names) == (clip.fps, clip.robot, clip.joint_names)


def test_a_piece_has_the_frames_between_its_ends_and_is_open(run, walk):
    piece = run("--from 0.5 --to 1.5")
    frames(piece, walk, slice(25, 76))
    assert (piece.duration, piece.loop) == (pytest.approx(1.0), False)
    assert piece.source == f"{walk.source}; frames 25 to 75"
    frames(run("--from 2"), walk, slice(100, None))
    frames(run("--to 0.2"), walk, slice(0, 11))
    piece = run("--open")
    frames(piece, walk, slice(None))
    assert (piece.loop, piece.source) == (False, walk.source)


def test_a_loop_ends_where_it_begins_again(run, walk):
    piece = run("--from 0.32 --to 0.96 --loop")
    frames(piece, walk, slice(16, 48))
    assert (piece.duration, piece.loop) == (pytest.approx(0.64), True)
    assert not seam(piece)
    np.testing.assert_allclose(piece.cycle(), walk.cycle() / 4, atol=2e-3)
    dataclasses.replace(walk, loop=False).save("walk.npz")
    assert run("--loop").content_hash() == walk.content_hash()


def test_a_loop_that_does_not_close_is_refused_with_an_end_at_which_it_does(run, walk):
    said = run("--to 0.84 --loop")
    found = re.search(
        r"'walk' is no loop there: the step from .* is 0\.\d+, the median .* close with --to ([\d.]+)$", said
    )
    assert found, said
    assert isinstance(run(f"--to {found[1]} --loop"), Clip)
    assert float(found[1]) == pytest.approx(0.64, abs=0.2)


def test_what_is_broken_can_be_cut_away(run, walk):
    walk.qpos[40:60, 8] = np.nan
    walk.save("walk.npz")
    assert "NaN" in run("--to 1.28 --loop")
    frames(run("--from 1.2"), walk, slice(60, None))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "nothing to be done: give --from, --to, --loop or --open"),
        ("--from -1", "--from -1: clip 'walk' lasts from 0 to 2.56 s"),
        ("--from nan", "--from nan: clip 'walk' lasts"),
        ("--to 2.6", "--to 2.6: clip 'walk' lasts from 0 to 2.56 s"),
        ("--from 1 --to 1.08", "a piece needs at least 6 frames; from 1 to 1.1 s clip 'walk' has 5, at 50 per second"),
        ("--from 1 --to 0.5", "clip 'walk' has 0"),
        ("--from 1 --output piece.bvh", "cannot write piece.bvh: a clip ends in .npz"),
    ],
)
@pytest.mark.usefixtures("walk")
def test_mistakes_are_one_line(run, flags, message):
    said = run(flags)
    assert message in said
    assert len(said.splitlines()) == 1


def test_other_files_are_cut_as_they_are_imported(run, walk):
    assert "walk.bvh: no clip, which ends in .npz; clip import cuts other" in run(
        "--to 1", "cut walk.bvh --output x.npz"
    )
    imported = "import walk.npz --robot droid --output piece.npz"
    assert "--to 3: clip 'walk' lasts" in run("--to 3", imported)
    assert "cannot write piece.bvh" in run("--output piece.bvh", imported)
    frames(run("--from 0.5 --to 1.5", imported), walk, slice(25, 76))
    piece = run("--to 0.64 --loop", imported)
    frames(piece, walk, slice(0, 32))
    assert piece.loop
