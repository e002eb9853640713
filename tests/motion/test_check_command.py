"""``robopolicy clip check``: several files, verdicts, JSON, and repairs that never cost the input."""

import dataclasses
import json

import pytest

from robopolicy.cli import main
from robopolicy.motion.check import check
from robopolicy.motion.check.defect import Defect
from robopolicy.motion.check.verdict import MEANING, verdict
from robopolicy.motion.clip import Clip, list_clips, load_clips
from robopolicy.paths import clips_dir


@pytest.fixture
def sunk(tmp_path):
    """A file with a clip that stands 3 cm in the ground."""
    walk = load_clips("droid", "walk_forward_0.20")[0]
    qpos = walk.qpos.copy()
    qpos[:, 2] -= 0.03
    path = tmp_path / "sunk.npz"
    dataclasses.replace(walk, qpos=qpos).save(path)
    return path


def test_folders_files_and_names(sunk, capsys):
    assert main(["clip", "check", str(clips_dir() / "go2"), "--robot", "go2"]) == 0
    out = capsys.readouterr().out
    assert f"{clips_dir() / 'go2' / 'stand.npz'}: clean: usable for training" in out
    count = len(list_clips("go2"))
    assert f"{count} clips, {count} clean" in out
    assert main(["clip", "check", "stand_idle", str(sunk), "--robot", "droid"]) == 1
    out = capsys.readouterr().out
    assert "2 clips, 1 clean" in out
    assert f"{sunk}: penetration: l_foot is 31 mm in the ground [" in out
    assert f"{sunk}: 4 defects: repair with --fix OUTPUT.npz (" in out
    assert "; penetration: no policy can stand in the ground" in out


def test_an_empty_folder_is_a_mistake(tmp_path, capsys):
    assert main(["clip", "check", str(tmp_path), "--robot", "go2"]) == 2
    assert "no clips (.npz) in the folder" in capsys.readouterr().err


def test_fix_writes_the_repaired_clip_and_leaves_the_input(sunk, droid, tmp_path, capsys):
    before = sunk.read_bytes()
    assert main(["clip", "check", str(sunk), "--robot", "droid", "--fix", str(tmp_path / "good.npz")]) == 0
    out = capsys.readouterr().out
    assert "changed: lifted by 31 mm, onto the ground" in out
    assert f"wrote {tmp_path / 'good.npz'}: clean: usable for training" in out
    assert sunk.read_bytes() == before
    good = Clip.load(tmp_path / "good.npz")
    assert check(good, droid) == []
    assert good.source == Clip.load(sunk).source
    assert main(["clip", "check", str(sunk), "--robot", "droid", "--fix", str(sunk)]) == 0  # named: its own choice
    assert check(Clip.load(sunk), droid) == []


def test_fix_of_several_goes_into_a_folder(sunk, tmp_path, capsys):
    both = ["clip", "check", "stand_idle", str(sunk), "--robot", "droid", "--fix"]
    assert main([*both, str(tmp_path / "one.npz")]) == 2
    assert "there are 2 clips; name a folder" in capsys.readouterr().err
    assert not (tmp_path / "one.npz").exists()
    assert main([*both, str(tmp_path / "fixed")]) == 0
    assert [p.name for p in (tmp_path / "fixed").iterdir()] == ["sunk.npz"]  # a clean one needs no copy


@pytest.mark.parametrize("several", [False, True])
def test_fix_does_not_overwrite_the_input_by_way_of_its_folder(several, sunk, tmp_path, monkeypatch, capsys):
    before = sunk.read_bytes()
    monkeypatch.chdir(tmp_path)
    files = [str(tmp_path)] if several else ["sunk.npz"]
    assert main(["clip", "check", *files, "--robot", "droid", "--fix", "."]) == 2
    assert "sunk.npz itself would be overwritten; name another folder" in capsys.readouterr().err
    assert sunk.read_bytes() == before


def test_a_keyframe_file_is_checked_as_the_clip_it_makes(tmp_path, capsys):
    path = tmp_path / "low.toml"
    pose = "[[pose]]\ntime = 0.0\njoints.head_yaw = 0.0\n[[pose]]\ntime = 0.5\njoints.head_yaw = 10.0\n"
    path.write_text('robot = "droid"\nunit = "deg"\nduration = 1.0\n' + pose)
    assert main(["clip", "check", str(path), "--robot", "droid"]) == 0
    assert f"{path}: clean: usable for training" in capsys.readouterr().out
    path.write_text(path.read_text().replace("[[pose]]", 'feet = "free"\n[[pose]]\nbase.height = -0.05', 1))
    assert main(["clip", "check", str(path), "--robot", "droid", "--fix", str(tmp_path)]) == 0
    assert f"wrote {tmp_path / 'low.npz'}: clean" in capsys.readouterr().out


def test_clips_of_one_name_are_not_repaired_into_one(sunk, tmp_path, capsys):
    other = tmp_path / "other" / "sunk.npz"
    Clip.load(sunk).save(other)
    command = ["clip", "check", str(sunk), str(other), "--robot", "droid", "--fix", str(tmp_path / "fixed")]
    assert main(command) == 2
    assert f"{sunk} and {other} would both be written to {tmp_path / 'fixed' / 'sunk'}.npz" in capsys.readouterr().err
    assert not (tmp_path / "fixed").exists()


def test_what_stays_is_said_and_the_status_is_1(tmp_path, capsys):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    dataclasses.replace(walk, fps=100.0, qvel=2 * walk.qvel).save(tmp_path / "fast.npz")
    output = tmp_path / "out.npz"
    assert main(["clip", "check", str(tmp_path / "fast.npz"), "--robot", "droid", "--fix", str(output)]) == 1
    out = capsys.readouterr().out
    assert "nothing could be repaired" in out
    assert "import it again with the true rate" in out
    assert not output.exists()


def test_a_slow_walk_is_usable_and_said_to_be_slow(tmp_path, capsys):
    """A calm person's stride of 1.4 s on a robot with legs of a third of theirs."""
    path = str(tmp_path / "slow.npz")
    assert main(["clip", "gait", "--robot", "droid", "--period", "1.4", "--sway", "0.05", "--output", path]) == 0
    out = capsys.readouterr().out
    assert "note: slow strides: a stride takes 1.4 s on legs of 0.33 m" in out
    assert "warning" not in out
    command = ["clip", "check", path, "--robot", "droid"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "slow.npz: note: slow strides: a stride takes 1.4 s" in out
    assert "clean: usable for training (slow strides: right if it is meant to be slow; else its rate is too low)" in out
    assert main([*command, "--json"]) == 0
    (clip,) = json.loads(capsys.readouterr().out)["clips"]
    assert (clip["defects"], [note["kind"] for note in clip["notes"]]) == ([], ["slow strides"])
    fast = ["clip", "gait", "--robot", "droid", "--period", "0.32", "--output", path]
    assert main(fast) == 0
    assert "warning: wrong rate: " in capsys.readouterr().out
    assert main(command) == 1


def test_json(sunk, tmp_path, capsys):
    assert main(["clip", "check", str(sunk), "--robot", "droid", "--json", "--fix", str(tmp_path / "good.npz")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clean"] is True
    (clip,) = found["clips"]
    assert clip["file"] == str(sunk)
    assert clip["clean"] is False
    assert {d["kind"] for d in clip["defects"]} == {"penetration", "foot sliding"} | {
        d["kind"] for d in clip["defects"]
    }
    assert all(isinstance(frame, int) for d in clip["defects"] for frame in d["frames"])
    assert clip["fix"]["clean"] is True
    assert clip["fix"]["changes"] == ["lifted by 31 mm, onto the ground", "velocities computed from the positions"]


def test_every_kind_has_a_verdict():
    for kind in MEANING:
        for fixed in (False, True):
            text = verdict([Defect(kind, (0,), "")], fixed)
            assert kind in text
            assert "repair with --fix" in text or "not usable as it is" in text
            assert not (fixed and "repair with --fix" in text)
    assert verdict([]) == "usable for training"
    for kind in ("not a number", "jump", "loop seam"):
        assert "(robopolicy clip cut" in verdict([Defect(kind, (0,), "")], fixed=True)
    both = verdict([Defect("torque", (0,), ""), Defect("velocity", (0,), "")])
    assert "slow it down" in both
    assert "repair the rest with --fix OUTPUT.npz" in both
