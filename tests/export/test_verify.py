"""The verifier agrees with an independent recording, and disagrees, by name, with every wrong one."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.contract import Imu
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.verify import check_scores, main, verify


def failures(path) -> set[str]:
    return {check.name for check in verify(path) if not check.ok}


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "robopolicy_runtime.verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_agrees_with_the_recording(policy_path):
    checks = {check.name: check for check in verify(policy_path)}
    assert all(check.ok for check in checks.values())
    assert checks["replay qpos"].measured < 1e-9  # the same engine from the same state
    assert checks["episode score"].measured < 1e-4
    assert {f"observation {o.name}" for o in synthetic.observations()} < set(checks)


# The command line


def test_exit_0_and_a_table(policy_path):
    done = run(policy_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "agrees"
    assert "not loaded: torch, robopolicy" in done.stdout
    assert "FAIL" not in done.stdout


def test_exit_0_and_one_json_object(policy_path):
    done = run(policy_path, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert set(result) == {"file", "agrees", "checks"}
    assert result["agrees"] is True
    assert result["file"] == str(policy_path)
    assert all(set(c) == {"name", "measured", "tolerance", "ok", "detail"} for c in result["checks"])


def test_exit_1_names_the_disagreement(write, recorded, tmp_path):
    changed = recorded | {"action": recorded["action"] + np.float32(1e-3)}
    path = write(tmp_path / "p.onnx", reference=changed)
    done = run(path)
    assert done.returncode == 1
    assert "network action" in done.stdout.splitlines()[-1]
    assert "disagrees" in done.stdout
    done = run(path, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert result["agrees"] is False
    assert next(c["name"] for c in result["checks"] if not c["ok"]) == "network action"


def test_exit_2_for_a_refused_file(policy_path, tmp_path):
    path = tmp_path / "p.onnx"
    path.write_bytes(policy_path.read_bytes()[:-1])
    done = run(path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "truncated" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = run(path, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 2
    assert result["agrees"] is False
    assert "truncated" in result["checks"][0]["detail"]


def test_no_torch_no_trainer(policy_path):
    code = (
        "import sys\n"
        "from robopolicy_runtime.verify import main\n"
        f"status = main([{str(policy_path)!r}])\n"
        "bad = {'torch', 'robopolicy', 'stable_baselines3', 'onnx'} & set(sys.modules)\n"
        "sys.exit(f'loaded {bad}' if bad else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_training_code_in_the_process_is_a_failure(policy_path, capsys):
    import torch  # noqa: F401

    assert main([str(policy_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "disagrees: no training code"


# One thing wrong at a time


@pytest.mark.parametrize(
    ("field", "check"),
    [
        ("kp", "model kp"),
        ("kd", "model kd"),
        ("torque_limit", "model torque_limit"),
        ("position_lower", "model position_lower"),
        ("position_upper", "model position_upper"),
    ],
)
def test_contract_against_the_model(write, tmp_path, field, check):
    contract = synthetic.contract()
    values = getattr(contract, field)
    contract = dataclasses.replace(contract, **{field: (values[0], values[1] * 1.01)})
    checks = verify(write(tmp_path / "p.onnx", contract=contract))
    failed = next(c for c in checks if c.name == check)
    assert not failed.ok
    assert "right_hip" in failed.detail


def test_imu_frame(write, tmp_path):
    contract = dataclasses.replace(synthetic.contract(), imu=Imu("imu", (1.0, 0.0, 0.0, 0.0), (0.01, -0.02, 0.03)))
    failed = failures(write(tmp_path / "p.onnx", contract=contract))
    assert {"model imu", "observation gyro", "observation gravity"} <= failed
    contract = dataclasses.replace(contract, imu=dataclasses.replace(contract.imu, site="head"))
    checks = verify(write(tmp_path / "q.onnx", contract=contract))
    assert any("no site 'head' on the base; sites: imu" in c.detail for c in checks)


def test_timestep(write, tmp_path):
    mjcf = synthetic.MJCF.replace('timestep="0.005"', 'timestep="0.004"')
    path = write(tmp_path / "p.onnx", contract=synthetic.contract(mjcf), mjcf=mjcf)
    assert {"model timestep", "replay qpos"} <= failures(path)


def test_another_plant(write, tmp_path):
    """Two per cent more mass: too little to see in a video, enough to refuse."""
    mjcf = synthetic.MJCF.replace('mass="2"', 'mass="2.04"')
    path = write(tmp_path / "p.onnx", contract=synthetic.contract(mjcf), mjcf=mjcf)
    assert "replay qpos" in failures(path)


def test_observation_scale_and_order(write, tmp_path):
    observations = list(synthetic.observations())
    observations[4] = dataclasses.replace(observations[4], scale=0.06)
    contract = dataclasses.replace(synthetic.contract(), observations=tuple(observations))
    failed = failures(write(tmp_path / "p.onnx", contract=contract))
    assert "observation joint_velocity" in failed
    assert "observation joint_position" not in failed


def test_action_scale(write, tmp_path):
    contract = synthetic.contract()
    action = dataclasses.replace(contract.action, scale=(0.25, 0.31))
    failed = failures(write(tmp_path / "p.onnx", contract=dataclasses.replace(contract, action=action)))
    assert "replay qpos" in failed
    assert "network action" not in failed


def test_other_weights(write, tmp_path):
    other = synthetic.weights(seed=5)
    failed = failures(write(tmp_path / "p.onnx", layers=other.layers))
    assert "network action" in failed
    assert any(name.startswith("closed loop action") for name in failed)
    assert "replay qpos" not in failed


def test_other_score(write, recorded, tmp_path):
    changed = recorded | {"reward_return": recorded["reward_return"] + 0.05}
    assert failures(write(tmp_path / "p.onnx", reference=changed)) == {"episode score"}


def test_score_spread_is_allowed(write, recorded, tmp_path):
    """Differences with both signs, as chaos makes them, are no disagreement."""
    noise = np.tile([0.2, -0.2], 8)
    changed = recorded | {"reward_return": recorded["reward_return"] + noise}
    assert not failures(write(tmp_path / "p.onnx", reference=changed))


def test_other_survival(write, recorded, tmp_path):
    survived = np.ones_like(recorded["eval_survived"])
    assert failures(write(tmp_path / "p.onnx", reference=recorded | {"eval_survived": survived})) == {
        "episodes survived"
    }


def test_upright_score(write, recorded, tmp_path):
    contract = synthetic.contract()
    contract = dataclasses.replace(contract, score=dataclasses.replace(contract.score, kind="upright"))
    path = write(tmp_path / "p.onnx", contract=contract)
    score = next(c for c in verify(path) if c.name == "episode score")
    assert not score.ok  # the recording was graded by velocity
    assert check_scores.__doc__


# What cannot be compared is refused


def test_robot_with_other_joints(write, policy_path, tmp_path):
    other = synthetic.MJCF.replace("right_hip", "right_knee")
    with pytest.raises(ContractError, match=r"wrong robot.*left_hip, right_hip.*left_hip, right_knee"):
        verify(policy_path, mjcf=other)
    (tmp_path / "other.xml").write_text(other)
    done = run(policy_path, "--mjcf", tmp_path / "other.xml")
    assert done.returncode == 2
    assert "wrong robot" in done.stderr
    assert run(policy_path, "--mjcf", tmp_path / "absent.xml").returncode == 2


def test_mjcf_that_does_not_compile(write, tmp_path):
    mjcf = "<mujoco><nonsense/></mujoco>"
    contract = synthetic.contract()
    hashes = dataclasses.replace(contract.hashes, mjcf=hashlib.sha256(mjcf.encode()).hexdigest())
    path = write(tmp_path / "p.onnx", contract=dataclasses.replace(contract, hashes=hashes), mjcf=mjcf)
    with pytest.raises(ContractError, match="the MJCF does not compile"):
        verify(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("qpos0"), "the recorded reference has no 'qpos0'"),
        (
            lambda r: r.update(qpos=r["qpos"][:, :-1]),
            r"the recorded 'qpos' has shape .*, expected \(E=3, S=40, nq=9\)",
        ),
        (lambda r: r.update(obs=r["obs"][..., :-1]), "the recorded 'obs' has shape"),
        (lambda r: r.update(action=r["action"] * np.nan), "the recorded 'action' is not finite"),
        (
            lambda r: r.update(
                {k: r[k][:8] for k in r if k.startswith("eval_") and r[k].ndim}, reward_return=np.ones(8)
            ),
            "8 episodes, fewer than 16",
        ),
    ],
)
def test_broken_recording(write, recorded, tmp_path, change, message):
    changed = dict(recorded)
    change(changed)
    with pytest.raises(ContractError, match=message):
        verify(write(tmp_path / "p.onnx", reference=changed))
