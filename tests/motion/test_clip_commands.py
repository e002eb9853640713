"""``robopolicy clip import | check | show`` as functions."""

import dataclasses
import json

import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.motion.check.command import check_clips
from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.commands import import_clip
from robopolicy.motion.show import show_clip


def test_check_says_clean_or_names_defects(tmp_path, capsys):
    assert check_clips(["walk_forward_0.20"], "droid") == 0
    assert "clean" in capsys.readouterr().out
    clip = load_clips("droid", "walk_forward_0.20")[0]
    qpos, qvel = clip.qpos.copy(), clip.qvel.copy()
    qvel[:, 6:] *= 2
    qpos[:, 2] -= 0.05
    dataclasses.replace(clip, qpos=qpos, qvel=qvel).save(tmp_path / "bad.npz")
    assert check_clips([tmp_path / "bad.npz"], "droid") == 1
    out = capsys.readouterr().out
    assert "velocity: joint velocity is 2.00 times" in out
    assert "penetration: l_foot" in out
    assert "defects" in out


def test_check_lists_nan_and_norms_instead_of_stopping(tmp_path, capsys):
    clip = load_clips("droid", "stand_idle")[0]
    qpos = clip.qpos.copy()
    qpos[17, 8] = np.nan
    dataclasses.replace(clip, qpos=qpos).save(tmp_path / "nan.npz")
    assert check_clips([tmp_path / "nan.npz"], "droid") == 1
    assert "not a number: qpos has NaN or infinity in columns 8 [1 frames: 17]" in capsys.readouterr().out


def test_unreadable_and_foreign_files_are_user_errors(tmp_path):
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(UserError, match=r"text\.npz"):
        check_clips([tmp_path / "text.npz"], "droid")
    load_clips("droid", "stand_idle")[0].save(tmp_path / "droid.npz")
    with pytest.raises(UserError, match="does not fit robot 'go2'"):
        check_clips([tmp_path / "droid.npz"], "go2")
    with pytest.raises(UserError, match="unknown clip 'sprint'"):
        check_clips(["sprint"], "droid")
    with pytest.raises(UserError, match="unknown robot 'drone'"):
        check_clips(["stand"], "drone")


def test_show_summarises(tmp_path, capsys):
    show_clip("walk_forward_0.30", "droid")
    out = capsys.readouterr().out
    assert "128 frames at 50 per second, 2.56 s, loop, with gait phase" in out
    assert "forward [m/s]" in out
    assert "+0.298" in out
    assert all(f"\n{name} " in out for name in ("l_hip_yaw", "head_roll"))
    load_clips("go2", "stand")[0].save(tmp_path / "mine.npz")
    show_clip(tmp_path / "mine.npz")  # the file names its robot
    assert "RR_calf" in capsys.readouterr().out


def test_show_of_a_bare_name_asks_whose_clip_it_is():
    with pytest.raises(UserError, match="no clip file walk_forward_0.30; .* say whose: --robot droid$"):
        show_clip("walk_forward_0.30")
    with pytest.raises(UserError, match="no clip file wlak; .* say whose: --robot NAME$"):
        show_clip("wlak")


def test_import_writes_a_clip_that_checks_clean(tmp_path, data_dir, capsys):
    output = tmp_path / "pace.npz"
    import_clip(data_dir / "a1_mocap" / "pace1.txt", "go2", output)
    out = capsys.readouterr().out
    assert "layout amp_hardware; 492 frames at 47.62 per second, 10.31 s, open" in out
    assert "warning" not in out
    assert Clip.load(output).robot == "go2"
    assert check_clips([output], "go2") == 0


def test_import_tells_a_wrong_rate(tmp_path, data_dir, capsys):
    data = json.loads((data_dir / "a1_mocap" / "pace0.txt").read_text())
    data["FrameDuration"] = 0.042
    (tmp_path / "slow.txt").write_text(json.dumps(data))
    import_clip(tmp_path / "slow.txt", "go2", tmp_path / "slow.npz")
    assert "warning: " in capsys.readouterr().out


def test_import_compiles_keyframes(tmp_path, capsys):
    from robopolicy.paths import clips_dir

    import_clip(clips_dir() / "droid" / "keyframes" / "happy_nod.toml", "droid", tmp_path / "nod.npz")
    assert "keyframes; 192 frames" in capsys.readouterr().out
    assert Clip.load(tmp_path / "nod.npz").loop


def test_a_failed_import_leaves_nothing(tmp_path):
    (tmp_path / "noise.bin").write_bytes(b"\x00\x01")
    with pytest.raises(UserError, match="in none of the known layouts"):
        import_clip(tmp_path / "noise.bin", "go2", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()
