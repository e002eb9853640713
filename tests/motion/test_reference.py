"""A task's clips: weights leave something to draw, names tell clips apart, and hashes are of all that a file says."""

import dataclasses
from pathlib import Path

import pytest

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import load_reference

STYLES = {"calm": ("walk_forward_0.20", "turn_left_0.60"), "still": ("stand_idle",)}


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(UserError, match=f"prior.clip_weights is {weight} for 'walk_\\*'; it must be 0 or more"):
        Prior(clips=("walk_*",), clip_weights={"walk_*": weight}).validate()
    Prior(clips=("walk_*",), clip_weights={"walk_*": 0.0}).validate()


def test_weights_that_leave_nothing_of_a_style_are_refused(droid):
    with pytest.raises(UserError, match="all clips of style 'still' have weight 0 by 'stand_\\*'; .*: stand_idle$"):
        load_reference(Prior(styles=STYLES, clip_weights={"walk_*": 0.0, "stand_*": 0.0}, mirror=True), droid, 0.02)
    with pytest.raises(UserError, match="all clips have weight 0 by '\\*'; .*: walk_forward_0.20, stand_idle$"):
        load_reference(Prior(clips=("walk_forward_0.20", "stand_idle"), clip_weights={"*": 0.0}), droid, 0.02)
    table = load_reference(Prior(styles=STYLES, clip_weights={"walk_*": 0.0}), droid, 0.02)
    assert set(table.clip[table.windows[table.weight > 0]].tolist()) == {1, 2}


def saved(folder: Path, clip: Clip) -> str:
    clip.save(folder / f"{clip.name}.npz")
    return str(folder / f"{clip.name}.npz")


def test_clips_of_one_name_are_refused_in_different_styles_too(tmp_path, droid):
    walk, still = load_clips("droid", ["walk_forward_0.20", "stand_idle"])
    other = saved(tmp_path, dataclasses.replace(still, name=walk.name))
    with pytest.raises(UserError, match=f"two clips are called {walk.name!r}: .*assets.* and {other}; .* rename one"):
        load_reference(Prior(styles={"calm": (walk.name,), "still": (other,)}), droid, 0.02)
    shared = load_reference(Prior(styles={"calm": (walk.name,), "still": (walk.name, still.name)}), droid, 0.02)
    assert [clip.name for clip in shared.clips] == [walk.name, walk.name, still.name]


def test_hashes_are_of_whole_files(tmp_path, droid):
    clip = load_clips("droid", "stand_idle")[0]
    prior = Prior(clips=(saved(tmp_path, clip),), mirror=True)
    before = load_reference(prior, droid, 0.02).hashes
    assert before == {"stand_idle": clip.content_hash()}
    qpos = clip.qpos.copy()
    qpos[-1, 8] += 0.1
    saved(tmp_path, dataclasses.replace(clip, qpos=qpos))
    after = load_reference(prior, droid, 0.02).hashes
    assert after != before
    assert after == load_reference(prior, droid, 0.02, half="held-out").hashes
