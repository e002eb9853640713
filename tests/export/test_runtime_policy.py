"""The policy file: the network's numbers, what the controller does with readings, and every refusal."""

import dataclasses
import subprocess
import sys

import numpy as np
import onnx
import pytest
import synthetic
import torch
from robopolicy_runtime import onnx_writer
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import CONTRACT_KEY, MJCF_KEY, REFERENCE_KEY, Controller, PolicyFile
from robopolicy_runtime.seal import seal


@pytest.fixture(scope="session")
def opened(policy_path) -> PolicyFile:
    return PolicyFile.open(policy_path)


def readings(**changes) -> dict:
    values = {
        "gyro": np.array([0.1, -0.2, 0.3]),
        "gravity": np.array([0.0, 0.6, -0.8]),
        "joint_pos": np.array([0.2, -0.1]),
        "joint_vel": np.array([1.0, -2.0]),
        "command": np.array([0.5, 0.0, 0.2]),
    }
    return values | changes


# The numbers


def test_network_equals_numpy_and_torch(opened, policy):
    obs = np.random.default_rng(1).normal(0, 4, (50, synthetic.OBS_SIZE)).astype(np.float32)
    obs[0] *= 100  # reaches the normaliser's clip
    layers: list[torch.nn.Module] = []
    for weight, bias in policy.layers:
        linear = torch.nn.Linear(*weight.shape[::-1])
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        layers += [linear, torch.nn.ELU()]
    standard = (torch.tensor(obs) - torch.tensor(policy.mean)) / torch.tensor(policy.std)
    with torch.no_grad():
        by_torch = torch.nn.Sequential(*layers[:-1])(standard.clamp(-10, 10)).numpy()
    np.testing.assert_allclose(opened.run(obs), by_torch, atol=1e-5)
    np.testing.assert_allclose(opened.run(obs), policy.forward(obs), atol=1e-5)
    np.testing.assert_allclose(opened.run(obs[3:4]), opened.run(obs)[3:4], atol=1e-6)  # batch of one


@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_other_activations(write, policy, tmp_path, name, function):
    file = PolicyFile.open(write(tmp_path / "p.onnx", activation=name))
    obs = np.random.default_rng(1).normal(0, 1, (5, synthetic.OBS_SIZE)).astype(np.float32)
    x = torch.tensor((obs - policy.mean) / policy.std)
    for i, (weight, bias) in enumerate(policy.layers):
        x = x @ torch.tensor(weight).T + torch.tensor(bias)
        x = function(x) if i < 2 else x
    np.testing.assert_allclose(file.run(obs), x.numpy(), atol=1e-5)


def test_observation_layout_and_history(opened, policy):
    controller = Controller(opened)
    controller.step(**readings())
    first = controller.observation
    assert first.dtype == np.float32
    assert first.shape == (synthetic.OBS_SIZE,)
    np.testing.assert_allclose(first[:3], [0.025, -0.05, 0.075], atol=1e-7)
    np.testing.assert_allclose(first[3:9], [0, 0.6, -0.8] * 2, atol=1e-7)
    np.testing.assert_allclose(first[9:12], [1, 0, 0.4], atol=1e-7)
    np.testing.assert_allclose(first[12:14], [0.2 - 0.1, -0.1 - synthetic.DEFAULT[1]], atol=1e-7)
    np.testing.assert_allclose(first[14:20], [0.05, -0.1] * 3, atol=1e-7)  # filled with the first value
    hold = [0.1 / 0.25, (-0.1 - synthetic.DEFAULT[1]) / 0.3]  # the action that keeps the measured pose
    np.testing.assert_allclose(first[20:22], hold, atol=1e-6)
    np.testing.assert_allclose(first[22:], [0, 1])
    np.testing.assert_allclose(controller.action, policy.forward(first), atol=1e-5)

    clipped = np.clip(controller.action, -synthetic.CLIP, synthetic.CLIP)
    controller.step(**readings(joint_vel=np.array([3.0, 4.0]), gravity=np.array([0.0, 0.0, -1.0])))
    second = controller.observation
    np.testing.assert_allclose(second[3:9], [0, 0.6, -0.8, 0, 0, -1], atol=1e-7)  # oldest first
    np.testing.assert_allclose(second[14:20], [0.05, -0.1, 0.05, -0.1, 0.15, 0.2], atol=1e-7)
    np.testing.assert_allclose(second[20:22], clipped)
    angle = 2 * np.pi * synthetic.PERIOD / synthetic.GAIT_PERIOD
    np.testing.assert_allclose(second[22:], [np.sin(angle), np.cos(angle)], atol=1e-6)


def test_a_command_by_name_leaves_the_others_at_their_default(opened):
    by_order, by_name = Controller(opened), Controller(opened)
    assert opened.contract.command.names == ("vx", "vy", "yaw_rate")
    expected = by_order.step(**readings(command=np.array([0.4, 0.0, -0.2])))
    np.testing.assert_array_equal(by_name.step(**readings(command={"yaw_rate": -0.2, "vx": 0.4})), expected)
    with pytest.raises(ContractError, match=r"no command channel 'speed'; this policy has: vx, vy, yaw_rate"):
        by_name.step(**readings(command={"speed": 1.0}))


def test_gait_clock_runs_on_while_standing(opened):
    controller = Controller(opened)
    for _ in range(5):
        controller.step(**readings(command=np.array([0.0, 0.05, 0.0])))
        np.testing.assert_array_equal(controller.observation[22:], 0)
    controller.step(**readings())
    angle = 2 * np.pi * 5 * synthetic.PERIOD / synthetic.GAIT_PERIOD
    np.testing.assert_allclose(controller.observation[22:], [np.sin(angle), np.cos(angle)], atol=1e-6)


def test_reset_forgets(opened):
    controller = Controller(opened)
    first = controller.step(**readings())
    seen = controller.observation
    controller.step(**readings(joint_vel=np.array([9.0, 9.0])))
    controller.reset()
    assert not controller.observation.any()
    assert not controller.action.any()
    np.testing.assert_array_equal(controller.step(**readings()), first)
    np.testing.assert_array_equal(controller.observation, seen)


def test_targets_stay_inside_the_limits(opened):
    controller = Controller(opened)
    for sign in (-1, 1):
        targets = controller.apply(np.array([sign * 1e6, sign * 1e6], np.float32))
        assert (targets >= synthetic.LOWER).all()
        assert (targets <= synthetic.UPPER).all()
    target = controller.apply(np.array([5.0, 0.5], np.float32))
    expected = synthetic.DEFAULT + synthetic.SCALE * [synthetic.CLIP, 0.5]
    np.testing.assert_allclose(target, expected, atol=1e-7)


# Sensors and robots that do not fit


@pytest.mark.parametrize("name", ["gyro", "gravity", "joint_pos", "joint_vel", "command"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_reading_is_refused(opened, name, bad):
    controller = Controller(opened)
    values = readings()
    values[name] = values[name].copy()
    values[name][1] = bad
    with pytest.raises(ContractError, match=rf"sensor {name}\[1\].*not finite"):
        controller.step(**values)


def test_non_finite_joint_is_named(opened):
    with pytest.raises(ContractError, match=r"sensor joint_pos\[1\] \(joint 'right_hip'\)"):
        Controller(opened).step(**readings(joint_pos=np.array([0, np.nan])))


@pytest.mark.parametrize("name", ["gyro", "gravity", "joint_pos", "joint_vel", "command"])
def test_wrong_length_is_refused(opened, name):
    with pytest.raises(ContractError, match=rf"sensor {name}: shape \(5,\), expected"):
        Controller(opened).step(**readings(**{name: np.zeros(5)}))


def test_non_finite_action_is_refused(opened):
    with pytest.raises(ContractError, match=r"action\[0\] \(joint 'left_hip'\): not finite"):
        Controller(opened).apply(np.array([np.nan, 0.0], np.float32))


@pytest.mark.parametrize("joints", [("right_hip", "left_hip"), ("left_hip",), ("knee", "ankle"), ()])
def test_wrong_robot_lists_both(opened, joints):
    with pytest.raises(ContractError, match="wrong robot") as caught:
        Controller(opened, joint_names=joints)
    assert "left_hip, right_hip" in str(caught.value)
    assert ", ".join(joints) in str(caught.value)


def test_right_robot_is_accepted(opened):
    Controller(opened, joint_names=list(synthetic.JOINTS))


# Files that are not what was exported


def refused(path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(ContractError, match=message) as caught:
        PolicyFile.open(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def sealed(policy, contract: str, **metadata: str) -> bytes:
    """A sealed file with any contract text."""
    model = onnx_writer.build_model(mean=policy.mean, std=policy.std, clip=10, layers=policy.layers)
    reference = {REFERENCE_KEY: "", MJCF_KEY: synthetic.MJCF}
    return onnx_writer.finish(model, {CONTRACT_KEY: contract} | reference | metadata)


@pytest.mark.parametrize("keep", [3, 50, 100, 130, 1000, -1])
def test_truncated(policy_path, tmp_path, keep):
    refused(tmp_path / "p.onnx", policy_path.read_bytes()[:keep], "truncated")


def test_bytes_added(policy_path, tmp_path):
    refused(tmp_path / "p.onnx", policy_path.read_bytes() + b"\0", "bytes were added")


def test_empty(tmp_path):
    refused(tmp_path / "p.onnx", b"", "not an ONNX file .* the file is empty")


def test_absent(tmp_path):
    with pytest.raises(ContractError, match=r"nowhere.onnx: cannot be read: No such file"):
        PolicyFile.open(tmp_path / "nowhere.onnx")


def test_folder(tmp_path):
    with pytest.raises(ContractError, match="cannot be read"):
        PolicyFile.open(tmp_path)


@pytest.mark.parametrize("data", [b"hello\n" * 100, bytes(range(256)) * 8, b"PK\x03\x04" + bytes(100)])
def test_not_onnx(tmp_path, data):
    refused(tmp_path / "p.onnx", data, "not an ONNX file")


def test_no_contract(policy, tmp_path):
    model = onnx_writer.build_model(mean=policy.mean, std=policy.std, clip=10, layers=policy.layers)
    refused(tmp_path / "p.onnx", model.SerializeToString(), "an ONNX file without a robopolicy contract")
    refused(tmp_path / "p.onnx", seal(model.SerializeToString()), f"no '{CONTRACT_KEY}' among its metadata")


def test_one_weight_bit(policy_path, policy, tmp_path):
    data = bytearray(policy_path.read_bytes())
    at = data.index(policy.layers[1][0].tobytes())
    data[at + 20] ^= 1
    refused(tmp_path / "p.onnx", bytes(data), "changed after it was exported")


def test_one_metadata_character(policy_path, tmp_path):
    data = policy_path.read_bytes()
    assert data.count(b'"clip": 1.5') == 1
    refused(tmp_path / "p.onnx", data.replace(b'"clip": 1.5', b'"clip": 9.5'), "changed after it was exported")


def test_every_byte_is_under_the_seal(policy_path, tmp_path):
    data = policy_path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(data), 200):
        changed = bytearray(data)
        changed[at] ^= 0x10
        (tmp_path / "p.onnx").write_bytes(changed)
        with pytest.raises(ContractError):
            PolicyFile.open(tmp_path / "p.onnx")


def test_saved_again_by_another_tool(policy_path, tmp_path):
    onnx.save(onnx.load(policy_path), str(tmp_path / "p.onnx"))
    refused(tmp_path / "p.onnx", (tmp_path / "p.onnx").read_bytes(), "changed after it was exported")


def test_older_schema(policy, tmp_path):
    text = synthetic.contract().to_json().replace('"schema": 2', '"schema": 0')
    refused(tmp_path / "p.onnx", sealed(policy, text), "0 is older than this runtime's 2")


def test_newer_schema(policy, tmp_path):
    text = synthetic.contract().to_json().replace('"schema": 2', '"schema": 7')
    refused(tmp_path / "p.onnx", sealed(policy, text), "7 is newer than this runtime's 2")


def test_contract_that_contradicts_the_network(policy, tmp_path):
    contract = dataclasses.replace(synthetic.contract(), observations=synthetic.observations()[:-1])
    message = r"input 'obs' has shape .*, but contract.observations add up to 22"
    refused(tmp_path / "p.onnx", sealed(policy, contract.to_json()), message)


def test_mjcf_that_contradicts_its_hash(policy, tmp_path):
    data = sealed(policy, synthetic.contract().to_json(), **{MJCF_KEY: synthetic.MJCF + " "})
    refused(tmp_path / "p.onnx", data, "contract.hashes.mjcf is not the SHA-256")


# Writing


def test_writing_is_reproducible(write, policy_path, tmp_path):
    assert write(tmp_path / "again.onnx").read_bytes() == policy_path.read_bytes()


def test_reference_comes_back_bit_equal(opened, recorded):
    again = opened.reference()
    assert set(again) == set(recorded)
    for name, array in recorded.items():
        np.testing.assert_array_equal(again[name], array)


def test_full_disk_leaves_the_old_file(write, tmp_path, monkeypatch):
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"the old policy")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_writer.os, "fsync", full)
    with pytest.raises(ContractError, match=r"policy.onnx: cannot be written: No space left on device"):
        write(path)
    assert [p.name for p in tmp_path.iterdir()] == ["policy.onnx"]
    assert path.read_bytes() == b"the old policy"


def test_writer_refuses_layers_of_another_size(write, tmp_path):
    small = synthetic.weights(size=10)
    message = "the network maps 10 observations to 2 actions, the contract says 24 to 2"
    with pytest.raises(ContractError, match=message):
        write(tmp_path / "p.onnx", mean=small.mean, std=small.std, layers=small.layers)
    assert not list(tmp_path.iterdir())


def test_writer_refuses_non_finite_weights(write, policy, tmp_path):
    layers = [(w.copy(), b) for w, b in policy.layers]
    layers[1][0][0, 0] = np.nan
    with pytest.raises(ContractError, match="the network's weight1 is not finite"):
        write(tmp_path / "p.onnx", layers=layers)


def test_the_robot_needs_numpy_and_onnxruntime_alone(policy_path):
    """Driving a robot loads no torch, mujoco, onnx or trainer."""
    code = (
        "import sys, numpy as np\n"
        "from robopolicy_runtime import Controller, PolicyFile\n"
        f"c = Controller(PolicyFile.open({str(policy_path)!r}))\n"
        "c.step(np.zeros(3), np.array([0, 0, -1.]), np.zeros(2), np.zeros(2), np.zeros(3))\n"
        "bad = {'torch', 'mujoco', 'onnx', 'google.protobuf', 'robopolicy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {bad}' if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
