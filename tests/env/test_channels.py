"""What a policy is told: command, style weight, style label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_envs import actions, columns, compiled, quiet

from robopolicy.env.channels import Channels
from robopolicy.env.command import Command
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.learn.amp import MotionPrior
from robopolicy.motion.clip import load_clips
from robopolicy.motion.gait import Gait, generate
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference, load_reference, mirrored
from robopolicy.robot import load_robot
from robopolicy.task import Task

STYLES = {"calm": ("walk_forward_0.20", "stand_idle"), "brisk": ("walk_forward_0.40",)}


def table(prior: Prior) -> Reference:
    return load_reference(prior, compiled("droid"), 0.02)


def styled(**changes) -> tuple[Task, Reference]:
    """A task with two styles, and its clips."""
    task = quiet("droid_walk")
    prior = replace(task.prior, clips=(), styles=STYLES, **changes)
    return replace(task, prior=prior), table(prior)


def test_channels_are_named_in_order_with_ranges_and_defaults():
    plain = Command(ranges={"vx": (-0.5, 1.0), "height": (0.2, 0.4)})
    assert Channels(plain).names == ["vx", "height"]
    assert Channels(plain).default == (0.0, 0.2)
    every = Channels(plain, ("a", "b"), weighted=True)
    assert every.names == ["vx", "height", "style", "style_a", "style_b"]
    assert every.default == (0.0, 0.2, 1.0, 1.0, 0.0)
    assert list(every.ranges.values())[2:] == [(0.0, 1.0)] * 3


def test_telling_puts_the_label_into_its_own_channel():
    channels = Channels(Command(), ("a", "b", "c"), weighted=True)
    told = channels.tell(torch.ones(3, 3), torch.tensor([2, 0, 1]), torch.tensor([0.1, 0.2, 0.3]))
    expected = torch.tensor([[1, 1, 1, 0.1, 0, 0, 1], [1, 1, 1, 0.2, 1, 0, 0], [1, 1, 1, 0.3, 0, 1, 0]])
    torch.testing.assert_close(told, expected)
    assert channels.weight(told).tolist() == pytest.approx([0.1, 0.2, 0.3])
    torch.testing.assert_close(channels.fitting(told, velocity=True), expected[:, [0, 1, 2, 4, 5, 6]])
    torch.testing.assert_close(channels.fitting(told, velocity=False), expected[:, 4:])
    assert Channels(Command()).fitting(told[:, :3], velocity=False).shape == (3, 0)


def test_a_task_tells_of_its_style_only_where_there_is_a_prior():
    task, _ = styled()
    assert task.channels.names == ["vx", "vy", "wz", "style", "style_calm", "style_brisk"]
    fixed = replace(task, prior=replace(task.prior, adjustable=False))
    assert fixed.channels.names == ["vx", "vy", "wz", "style_calm", "style_brisk"]
    one = replace(task, prior=replace(task.prior, styles={}, clips=("stand_idle",)))
    assert one.channels.names == ["vx", "vy", "wz", "style"]
    off = replace(task, prior=replace(task.prior, weight=0.0))
    assert off.channels.names == ["vx", "vy", "wz"]


def test_clips_and_styles_together_are_refused():
    task, _ = styled()
    both = replace(task, prior=replace(task.prior, clips=("stand_idle",)))
    with pytest.raises(UserError, match=r"prior\.clips and prior\.styles"):
        both.validate()
    odd = replace(task, prior=replace(task.prior, styles={"two words": ("stand_idle",)}))
    with pytest.raises(UserError, match="two words"):
        odd.validate()


def test_commands_from_clips_are_the_clips_within_the_ranges_with_their_own_style():
    task, clips = styled()
    command = Command(ranges={"vx": (-0.1, 0.3), "vy": (-0.1, 0.1), "wz": (-1.0, 1.0)}, from_clips=0.5)
    channels = replace(task.channels, command=command)
    told, clip = channels.draw(4000, torch.Generator().manual_seed(0), clips)
    from_clip = clip >= 0
    assert float(from_clip.float().mean()) == pytest.approx(0.5, abs=0.03)
    label = told[:, 5].long()
    assert torch.equal(label[from_clip], (clip[from_clip] == 2).long())  # the third clip is the brisk one
    brisk = told[from_clip & (clip == 2)]
    assert brisk[:, 0].tolist() == pytest.approx([0.3] * len(brisk))  # 0.4 m/s, within the range
    # Each style as often as the other, whatever the number and the length of its clips.
    assert float(label.float().mean()) == pytest.approx(0.5, abs=0.03)


def test_style_weights_to_learn_under_are_often_all_and_else_anything():
    weight = Channels(Command(), weighted=True).draw_weight(4000, torch.Generator().manual_seed(0))
    assert float((weight == 1).float().mean()) == pytest.approx(0.7, abs=0.03)
    rest = weight[weight < 1]
    assert float(rest.mean()) == pytest.approx(0.5, abs=0.03)
    assert 0 <= float(rest.min()) < 0.01


def test_a_start_in_a_clip_asks_for_that_clips_style():
    task, clips = styled(reference_start=1.0)
    env = Env(task, 200, seed=3, reference=clips)
    env.reset()
    assert (env.clip >= 0).all()
    assert torch.equal(env.command[:, 5].long(), (env.clip == 2).long())
    legs = torch.cdist(env.qpos[:, 7:].float(), clips.qpos[:, 7:])
    assert torch.equal(clips.clip[legs.argmin(1)], env.clip)


def test_the_style_changes_with_the_command_and_is_seen():
    task, clips = styled()
    task = replace(task, command=replace(task.command, resample_s=(0.1, 0.2)), terminations={})
    env = Env(task, 64, seed=1, reference=clips)
    env.reset()
    labels = []
    for action in actions(env, 30, size=0.1):
        step = env.step(action)
        told = step.obs["actor"][:, columns(env, "command")]
        assert torch.equal(told, env.command)
        labels.append(told[:, 5].clone())
        assert step.motion is not None
    changed = (torch.stack(labels[1:]) != torch.stack(labels[:-1])).any(0)
    assert changed.float().mean() > 0.8


def test_what_the_step_reports_is_what_was_in_force():
    task, clips = styled()
    task = replace(task, command=replace(task.command, resample_s=(0.02, 0.02)))
    env = Env(task, 32, seed=1, reference=clips)
    env.reset()
    for action in actions(env, 5, size=0.1):
        weight, clip, label = env.command[:, 3].clone(), env.clip.clone(), env.command[:, 4:].clone()
        step = env.step(action)
        assert torch.equal(step.style_weight, weight)
        assert torch.equal(step.clip, clip)
        assert step.motion is not None
        assert torch.equal(step.motion[:, -4:-2], label)  # before the clock


def test_mirrored_clips_double_the_table_and_are_the_other_side():
    prior = Prior(clips=("turn_left_0.60",))
    plain, both = table(prior), table(replace(prior, mirror=True))
    count = len(plain.qpos)
    assert len(both.qpos) == 2 * count
    assert torch.equal(both.qpos[:count], plain.qpos)
    torch.testing.assert_close(both.command[count:], plain.command * torch.tensor([1.0, -1.0, -1.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(both.phase[count:], (plain.phase + 0.5) % 1.0, atol=1e-5, rtol=0)
    # What the left leg did the right one does: joints 0 to 4 and 5 to 9, knees turn alike.
    torch.testing.assert_close(both.qpos[count:, 7 + 3], plain.qpos[:, 7 + 8])
    assert both.clips[1].name == "turn_left_0.60[mirrored]"


def test_reweighing_keeps_the_styles_balanced():
    _, clips = styled()
    clips.reweigh(torch.tensor([3.0, 1.0, 0.5]))
    rows = clips.draw(20_000, torch.Generator().manual_seed(0))
    share = torch.bincount(clips.clip[rows], minlength=3) / 20_000
    # Within the calm style 3 to 1; the brisk one is alone in its own.
    assert share.tolist() == pytest.approx([0.375, 0.125, 0.5], abs=0.015)


def test_the_discriminator_sees_the_clock_of_those_who_walk():
    task = quiet("droid_walk")
    task = replace(task, prior=replace(task.prior, see_phase=True))
    clips = table(task.prior)
    env = Env(task, 6, reference=clips, nominal=True)
    env.reset()
    env.hold_command(torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.0, 0.0]]).repeat(3, 1))
    for action in actions(env, 3, size=0.1):
        step = env.step(action)
        assert step.motion is not None
        angle = 2 * torch.pi * env.state.phase
        expected = torch.stack((angle.sin(), angle.cos()), dim=1)
        expected[1::2] = 0  # told to stand
        torch.testing.assert_close(step.motion[:, -2:], expected)


def test_clips_that_walk_need_a_clock_and_clips_that_stand_do_not(tmp_path: Path):
    walk = load_clips("droid", "walk_forward_0.20")[0]
    path = tmp_path / "lost.npz"
    replace(walk, phase=None).save(path)
    for clips, fine in ((("walk_forward_0.20", "look_around"), True), ((str(path),), False)):
        task = quiet("droid_walk")
        task = replace(task, prior=replace(task.prior, clips=clips, see_phase=True, hidden=(8,)))
        frames = table(task.prior)
        env = Env(task, 2, reference=frames, nominal=True)
        if fine:
            prior = MotionPrior(task.prior, frames, env)
            every = prior._demo(frames.windows)
            assert every.isfinite().all()
            stands = frames.clip[frames.windows] == 1
            assert not every[stands][:, -2:].any()
        else:
            with pytest.raises(UserError, match=r"'lost' walks without a gait phase.*--prior.no-see-phase"):
                MotionPrior(task.prior, frames, env)


def test_a_mirrored_bound_keeps_its_clock():
    """Left and right do the same at once, where a walk's do so half a cycle apart."""
    model = load_robot("go2").compile()
    bound = generate("bound", model, Gait(style="bound", vx=0.3, period=0.48, duty=0.6, step_height=0.05, height=0.3))
    other = mirrored(bound, model)
    assert bound.phase is not None
    assert other.phase is not None
    np.testing.assert_allclose(other.phase, bound.phase)
    np.testing.assert_allclose(other.qpos[:, 7:], bound.qpos[:, 7:], atol=1e-6)


def test_weights_by_name_hold_for_the_mirrored_clip_too():
    frames = table(Prior(clips=("turn_left_0.60", "stand_idle"), clip_weights={"turn_left_0.60": 3.0}, mirror=True))
    rows = frames.draw(20_000, torch.Generator().manual_seed(0))
    share = torch.bincount(frames.clip[rows], minlength=4) / 20_000
    assert share.tolist() == pytest.approx([0.375, 0.125, 0.375, 0.125], abs=0.015)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"styles": {"calm": ("stand_idle",)}}, "prior.styles has 'calm' alone"),
        ({"styles": {"calm": ("stand_idle",), "brisk": ()}}, "prior.styles.brisk names no clips"),
    ],
)
def test_styles_that_make_no_sense_are_refused(prior: dict, message: str):
    task = quiet("droid_walk")
    with pytest.raises(UserError, match=message):
        replace(task, prior=replace(task.prior, clips=(), **prior)).validate()
