"""The comparison with mjlab: with a peer that only says how long it took, and with mjlab where it is installed."""

import json
import math
import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from robopolicy.cli import main
from robopolicy.compare import PPO, compare, table
from robopolicy.peer import Peer
from robopolicy.robot import load_robot

TINY = replace(PPO, horizon=8, epochs=2, minibatches=2, hidden_actor=(16, 8), hidden_critic=(16, 8))
N = 4

FAKE = """
import json, sys
log = open({log!r}, "a")
print(sys.argv[1], file=log, flush=True)
greeting = {{"versions": {{"mjlab": "0.0.1"}}, "robot": "go2", "timestep": 0.004, "control_dt": 0.02}}
greeting |= {{"episode_s": 20.0, "observations": [48, 72], "rewards": 10, "randomizers": 8}}
print(json.dumps(greeting), flush=True)
for line in sys.stdin:
    print("turn", file=log, flush=True)
    print(json.dumps({{"env": 100.0, "train": 300.0}}), flush=True)
"""


@pytest.fixture
def fake(tmp_path):
    """A peer that needs 100 s for the environment and 300 s in all, and what it has heard."""
    script, log = tmp_path / "fake.py", tmp_path / "log"
    script.write_text(FAKE.format(log=str(log)))
    return script, log


def test_both_do_the_same_and_the_ratio_is_ours_by_theirs(fake):
    script, log = fake
    found = compare(sys.executable, N, 0.0, "cpu", quiet=True, script=script, ppo=TINY)
    told, *turns = log.read_text().splitlines()
    settings = {"num_envs": N, "device": "cpu", "hidden": [16, 8], "horizon": 8, "epochs": 2, "minibatches": 2}
    assert settings.items() <= json.loads(told).items()
    assert len(turns) == 2 + found["turns"] == 5  # two to warm up
    assert found["peer_env_steps_per_s"] == pytest.approx(N * 8 / 100)
    assert found["peer_train_steps_per_s"] == pytest.approx(N * 8 / 300)
    for name in ("env", "train"):  # exact, since the peer's times are all alike
        ratio = found[f"{name}_steps_per_s"] / found[f"peer_{name}_steps_per_s"]
        assert found[f"{name}_ratio_to_peer"] == pytest.approx(ratio)
        assert ratio > 1
    assert found["peer"] == "mjlab 0.0.1"
    assert "ours 47 and 58 numbers, mjlab's 48 and 72" in found["notes"][0]


def test_our_side_takes_the_peers_robot_and_time_steps(fake, monkeypatch):
    made = []

    class SeenError(Exception):
        pass

    def loop(task, device):
        made.append(task)
        raise SeenError

    monkeypatch.setattr("robopolicy.compare.Loop", loop)
    with pytest.raises(SeenError):
        compare(sys.executable, N, 0.0, "cpu", quiet=True, script=fake[0], ppo=TINY)
    (task,) = made
    assert (task.robot, task.timestep, task.control_dt, task.num_envs) == ("go2", 0.004, 0.02, N)
    assert task.ppo == TINY


def test_the_table_says_the_ratios_and_the_notes():
    found = {"env_steps_per_s": 3000.0, "peer_env_steps_per_s": 1500.0, "env_ratio_to_peer": 2.0}
    found |= {"train_steps_per_s": 600.0, "peer_train_steps_per_s": 800.0, "train_ratio_to_peer": 0.75}
    text = table(found | {"num_envs": 4, "device": "cpu", "peer": "mjlab 1", "turns": 3, "notes": ["one", "two"]})
    rows = [line.split() for line in text.splitlines()]
    assert rows[1][-3:] == ["3,000", "1,500", "2.00"]
    assert rows[2][-3:] == ["600", "800", "0.75"]
    assert text.endswith("- one\n- two")


# ---- with mjlab itself: ROBOPOLICY_PEER_PYTHON=/path/to/python of an environment that has it


@pytest.fixture
def peer_python() -> str:
    python = os.environ.get("ROBOPOLICY_PEER_PYTHON")
    if not python:
        pytest.skip("set ROBOPOLICY_PEER_PYTHON to an interpreter that has mjlab")
    return python


def test_mjlabs_robot_is_ours_to_the_last_gain(peer_python):
    settings = {"num_envs": 1, "device": "cpu", "hidden": [8], "horizon": 2, "epochs": 1, "minibatches": 1}
    with Peer(peer_python, settings) as peer:
        robot = load_robot(peer.greeting["robot"]).compile(peer.greeting["timestep"], visual=False)
        assert float(robot.mj.body_mass.sum()) == pytest.approx(peer.greeting["mass"], rel=1e-6)
    rotor, frequency = 0.000111842 * np.array([6, 6, 9] * 4) ** 2, 2 * math.pi * 10  # mjlab's go1_constants.py
    np.testing.assert_allclose(robot.kp, rotor * frequency**2, rtol=1e-4)
    np.testing.assert_allclose(robot.kd, 4 * rotor * frequency, rtol=1e-4)
    np.testing.assert_allclose(robot.torque_limit, [23.7, 23.7, 35.55] * 4)
    np.testing.assert_allclose(robot.mj.dof_armature[6:], rotor, rtol=1e-4)
    np.testing.assert_allclose(robot.action_scale, 0.25 * robot.torque_limit / robot.kp)
    assert robot.home_qpos[2] == pytest.approx(0.278)
    assert (robot.mj.opt.cone, robot.mj.opt.impratio, robot.mj.opt.iterations) == (1, 10.0, 10)


def test_mjlab_and_ours_in_turns(peer_python, capfd):
    arguments = ["--num-envs", "2", "--seconds", "0", "--device", "cpu", "--json"]
    assert main(["bench", "--compare", "--peer-python", peer_python, *arguments]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["peer"].startswith("mjlab ")
    assert found["num_envs"] == 2
    for name in ("env", "train"):
        assert found[f"{name}_ratio_to_peer"] > 1  # a CPU against Warp's CPU device
        assert found[f"peer_{name}_steps_per_s"] > 0
    assert found["peer_train_steps_per_s"] < found["peer_env_steps_per_s"]
