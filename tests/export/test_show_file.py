"""What a show file says, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.show import Show, ShowFile
from robopolicy_runtime.show.same_robot import check_same_robot
from show_rig import SHOW, stand_contract, write_show


@pytest.fixture(scope="module")
def folder(write, tmp_path_factory) -> Path:
    return write_show(tmp_path_factory.mktemp("show"), write).parent


def opened(folder: Path, text: str = SHOW) -> ShowFile:
    path = folder / "other.toml"
    path.write_text(text)
    return ShowFile.open(path)


def test_a_show_reads(folder: Path):
    show = opened(folder)
    assert (show.start, tuple(show.parts), show.background) == ("walk", ("walk", "stand", "emote:hop"), "breathing")
    assert show.parts["walk"].joints == ("left_hip",)
    assert (show.parts["emote:hop"].seconds, show.parts["emote:hop"].then) == (0.4, "stand")
    assert (show.limits["vx"].low, show.limits["vx"].high, show.limits["vx"].rate) == (-0.5, 0.6, 1.0)
    assert (show.limits["vy"].low, show.limits["vy"].high) == (-0.2, 0.2)  # as the policy was trained
    assert show.sticks == {1: (("vx", -1),), 2: (("left_hip", 1),)}
    for request in ("run", "walk", "policy stand", "emote:hop", "play nod", "end nod"):
        assert request in show.requests
    assert Show(show).limits.tilt_rad == 0.8  # the smaller one of the two policies


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (SHOW, "x = [", "no TOML"),
        (SHOW, "", "policies: names no policy"),
        ('stand = "stand.onnx"', 'stand = "no.onnx"', "no.onnx: cannot be read"),
        ('stand = "stand.onnx"', 'stop = "stand.onnx"', "a policy cannot be called 'stop'"),
        ('"left_.*"', '"tail_.*"', "policies.walk: no joint is called 'tail_.*'; there are: left_hip, right_hip"),
        ('"left_.*"', '"("', "policies.walk: joints '\\(' is no pattern"),
        (', then = "stand"', "", "seconds and then go together"),
        ('then = "stand"', 'then = "sit"', "then is 'sit'; there are: walk, stand, emote:hop"),
        ('background = "breathing"', 'background = "nod"', "background: 'nod' does not loop"),
        ('background = "breathing"', 'background = "lean"', "'lean' moves 'vx', a velocity of policy 'walk'"),
        ('background = "breathing"', 'background = "sea"', "background is 'sea'; there are: breathing, nod, lean"),
        ('background = "breathing"', 'back = "breathing"', "nothing is called 'back'; there are: .*background"),
        ('background = "breathing"', 'start = "sit"', "start is 'sit'"),
        ("[-0.5, 0.6]", "[0.1, 0.6]", r"limits.vx: range \[0.1, 0.6\] must hold 0"),
        ("[-0.5, 0.6]", "[0.6, -0.5]", "limits.vx: range: 0.6 is above -0.5"),
        ("[-0.5, 0.6]", "0.6", r"limits.vx: range must be \[low, high\], not 0.6"),
        ("rate = 1.0", "rate = 0", "limits.vx: rate must be at least"),
        ("vx = { range", "vz = { range", "limits: nothing is called 'vz'; there are: .*vx"),
        ("still = 0.2", "calm = 0.2", "enter: nothing is called 'calm'; there are: .*still"),
        ("left_hip = { axis = 2 }", "tail = { axis = 2 }", "sticks: nothing that can be moved is called 'tail'"),
        ('5 = "play nod"', '5 = "play nob"', "buttons: 5 is 'play nob'; there are: ready, run"),
        ('5 = "play nod"', 'A = "play nod"', "buttons: 'A' is no number of a button"),
        ('n = "play nod"', 'n = "sing"', "keys: n is 'sing'"),
        ('n = "play nod"', 's = "play nod"', "keys: 's' is stop, whatever is played"),
        ('n = "play nod"', 'l = "play nod"', "keys: 'l' is limp"),
        ('n = "play nod"', '0 = "play nod"', "keys: '0' is off"),
        ('n = "play nod"', '"\\u001b" = "play nod"', r"keys: '\\x1b' is stop"),
        ('n = "play nod"', 'q = "play nod"', "keys: 'q' is stop and quit"),
        ('n = "play nod"', '" " = "play nod"', "keys: ' ' is stand"),
        ('n = "play nod"', 'nod = "play nod"', "keys: 'nod' is not one key"),
        ('n = "play nod"', '"" = "play nod"', "keys: '' is not one key"),
        ('n = "play nod"', '"\\u0003" = "play nod"', r"keys: '\\x03' is not one key"),
        ('5 = "play nod"', '1 = "play nod"', "buttons: no button means stop any more"),
    ],
)
def test_a_show_with_a_mistake(folder: Path, old: str, new: str, what: str):
    assert old in SHOW
    with pytest.raises(ContractError, match=what):
        opened(folder, SHOW.replace(old, new, 1))


def test_keys_and_buttons_that_a_show_may_have(folder: Path):
    text = SHOW.replace('n = "play nod"', '"\\u001b[20~" = "play nod"\n"ä" = "stop"\n1 = "end nod"')
    show = opened(folder, text.replace('5 = "play nod"', '1 = "play nod"\n7 = "stop"'))
    assert show.keys == {"\x1b[20~": "play nod", "ä": "stop", "1": "end nod"}  # the first is F9
    assert show.buttons == {1: "play nod", 7: "stop"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"joint_names": ("right_hip", "left_hip")}, "have their joints in different orders"),
        (
            {"joint_names": ("left_hip", "tail")},
            "are of different robots, with joints: left_hip, right_hip and left_hip",
        ),
        ({"control_period_s": 0.01}, "different control periods: 0.02 s and 0.01 s"),
        ({"default_pose": tuple(synthetic.DEFAULT + [0, 0.06])}, "differ by 0.06 rad at 'right_hip'; at most 0.05"),
        ({"kp": (20.0, 26.0)}, "differ in kp of 'right_hip': 25.0 and 26.0"),
        ({"velocity_limit": (10.0, 9.0)}, "differ in velocity_limit of 'right_hip': None and 9.0"),
        ({"imu": replace(synthetic.contract().imu, position=(0.0, 0.0, 0.0))}, "have the IMU in different places"),
    ],
)
def test_policies_of_different_robots_are_refused_by_name(changes: dict, what: str):
    with pytest.raises(ContractError, match=f"policies 'walk' and 'stand' .*{what}"):
        check_same_robot("walk", synthetic.contract(), "stand", replace(stand_contract(), **changes))


def test_a_pose_that_is_nearly_the_same_is_good_enough():
    near = replace(stand_contract(), default_pose=tuple((synthetic.DEFAULT + np.array([0.0, 0.04])).tolist()))
    check_same_robot("walk", synthetic.contract(), "stand", near)


def test_another_robots_policy_is_refused_in_a_show(folder: Path, write):
    write(folder / "other.onnx", contract=replace(synthetic.contract(), kd=(0.7, 0.9)))
    with pytest.raises(ContractError, match="policies 'walk' and 'stand' differ in kd of 'right_hip': 0.8 and 0.9"):
        opened(folder, SHOW.replace('stand = "stand.onnx"', 'stand = "other.onnx"'))
