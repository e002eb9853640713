"""What was measured reaches the robots of a training, and a run that was written down gets it back."""

import inspect
import json
from dataclasses import replace

import arm
import numpy as np
import pytest
import torch
from small_envs import quiet

from robopolicy.config import apply_values, to_values
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.export import action_delay
from robopolicy.sysid.measured import apply_measured, read_measured, restore_measured
from robopolicy.sysid.report import as_text, as_values, write_measured
from robopolicy.task import randomize
from robopolicy.terms import randomizers

FILE = """
robot = "go2"
[latency]
range = [0.011, 0.014]
[servos.".*_calf"]
kp = { value = 30.0, range = [29.0, 31.0] }
kd = { range = [1.0, 1.1] }
torque = { range = [20.0, 21.0] }
[servos.".*_hip"]
armature = { range = [0.02, 0.021] }
friction = { range = [0.5, 0.6] }
[encoder_offset]
FL_hip = { range = [-0.05, -0.03] }
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "measured.toml"
    path.write_text(FILE)
    return path


def test_robots_have_what_was_measured(file):
    task = apply_measured(replace(quiet("go2_trot"), num_envs=64), file)
    env = Env(task, seed=0)
    env.reset()
    mj, joints, dofs = env.robot.mj, env.robot.joint_names, env.robot.dof_adr
    calf = [i for i, name in enumerate(joints) if name.endswith("calf")]
    hip = [i for i, name in enumerate(joints) if name.endswith("hip")]
    thigh = [i for i, name in enumerate(joints) if name.endswith("thigh")]
    fields = {name: env.sim.expand(name) for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")}
    fields |= {name: env.sim.expand(name)[:, dofs.tolist()] for name in ("dof_armature", "dof_frictionloss")}
    for values, low, high in (
        (fields["actuator_gainprm"][:, calf, 0], 29, 31),
        (-fields["actuator_biasprm"][:, calf, 1], 29, 31),
        (-fields["actuator_biasprm"][:, calf, 2], 1.0, 1.1),
        (fields["actuator_forcerange"][:, calf, 1], 20, 21),
        (-fields["actuator_forcerange"][:, calf, 0], 20, 21),
        (fields["dof_armature"][:, hip], 0.02, 0.021),
        (fields["dof_frictionloss"][:, hip], 0.5, 0.6),
    ):
        assert low - 1e-6 <= values.min() < values.max() <= high + 1e-6
        assert values.max() - values.min() > 0.8 * (high - low)
    torch.testing.assert_close(
        fields["actuator_gainprm"][0, thigh, 0].double().cpu(), torch.tensor(mj.actuator_gainprm[thigh, 0])
    )
    assert action_delay(task) == pytest.approx((0.010, 0.015))


def test_a_run_that_was_written_down_gets_it_back(file):
    plain = quiet("go2_trot")
    task = apply_measured(plain, file)
    settings = json.loads(json.dumps(to_values(task)))
    again = apply_values(restore_measured(plain, settings), settings)
    assert to_values(again) == to_values(task)
    assert [t.function for t in again.randomizers.values()] == [t.function for t in task.randomizers.values()]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('robot = "go2"', 'robot = "droid"', "is of robot 'droid'; the task's is 'go2'"),
        ("calf", "wrist", "unknown servo '.\\*_wrist'"),
        ("[29.0, 31.0]", "[31.0, 29.0]", "low first"),
        ("kd =", "ki =", "unknown number 'ki'"),
        ("FL_hip", "tail", "unknown joint 'tail'"),
    ],
)
def test_wrong_files_are_refused(file, old, new, said):
    file.write_text(FILE.replace(old, new))
    with pytest.raises(UserError, match=said):
        apply_measured(quiet("go2_trot"), file)


def test_a_fit_is_written_and_read(found, tmp_path):
    write_measured(found, "arms", tmp_path / "arms.log", 0.05, tmp_path / "measured.toml")
    read = read_measured(tmp_path / "measured.toml")
    assert read.robot == "arms"
    assert set(read.servos) == {".*_shoulder", ".*_elbow"}
    for pattern, joint in ((".*_shoulder", 0), (".*_elbow", 1)):
        for name in ("kp", "kd", "armature"):
            low, high = read.servos[pattern][name]
            assert low <= arm.TRUTH[name][joint] <= high
            assert high - low >= 0.0999 * np.mean((low, high))
    assert read.latency_s is not None
    assert read.latency_s[0] <= arm.LATENCY <= read.latency_s[1]
    assert "kp" in as_text(found)
    assert json.loads(json.dumps(as_values(found), allow_nan=False))["after_rad"] == found.after


def test_an_offset_that_was_measured_never_narrows_what_the_task_draws(file):
    """0.05 rad in the file; the function's own default, 0.02, counts where the task names none."""
    small = file.read_text().replace("[-0.05, -0.03]", "[-0.005, -0.003]")
    task = quiet("go2_trot", randomizers={"encoder": randomize(randomizers.encoder_offset)})
    limits = []
    for text in (file.read_text(), small):
        file.write_text(text)
        limits.append(apply_measured(task, file).randomizers["encoder"].params["limit"])
    assert limits == [0.05, inspect.signature(randomizers.encoder_offset).parameters["limit"].default]
