"""What follows from masses and inertias, against MuJoCo's own mj_setConst."""

import mujoco
import numpy as np
import pytest
import torch

from robopolicy.robot import load_robot

pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
import warp as wp

from robopolicy.sim.inertia import FIELDS, InertiaConstants

N = 3
BALLS = """<mujoco><worldbody><body name="stand"><geom size="0.1"/>
  <body pos="0 0 1"><joint type="ball"/><geom type="capsule" size="0.05 0.3" pos="0.1 0.2 0"/>
    <body pos="0 0 0.5"><joint type="hinge" axis="0 1 0"/><joint type="slide" axis="1 0 0"/><geom size="0.2"/></body>
  </body></body></worldbody></mujoco>"""


def model_of(name: str) -> mujoco.MjModel:
    if name == "balls":
        return mujoco.MjModel.from_xml_string(BALLS)
    return load_robot(name).compile(visual=False).mj


@pytest.mark.parametrize("changed", [FIELDS, ("body_mass",), ("body_ipos",)])
@pytest.mark.parametrize("name", ["droid", "g1", "go2", "balls"])
def test_it_is_what_mujoco_derives(name: str, changed: tuple[str, ...]):
    model, rng = model_of(name), np.random.default_rng(0)
    fields = {}
    for field in changed:
        default = getattr(model, field)
        if field == "body_ipos":
            fields[field] = default + rng.uniform(-0.03, 0.03, (N, *default.shape))
        else:  # one factor for the three moments of a body
            fields[field] = default * rng.uniform(0.7, 1.5, (N, len(default), *[1] * (default.ndim - 1)))
    given = {field: torch.as_tensor(value, dtype=torch.float32) for field, value in fields.items()}
    wp.init()
    found = InertiaConstants(model, torch.device("cpu")).derive(given)
    for i in range(N):
        truth = model_of(name)
        for field, value in fields.items():
            getattr(truth, field)[:] = value[i]
        mujoco.mj_setConst(truth, mujoco.MjData(truth))
        for field, value in found.items():
            ours = value.expand(N, *value.shape[1:])[i].numpy()
            np.testing.assert_allclose(ours, getattr(truth, field), rtol=1e-4, atol=1e-7, err_msg=field)


def test_what_moves_bodies_goes_the_long_way():
    """A changed place of a body: the Jacobians are no constants any more."""
    from robopolicy.sim.gpu import GpuSimulation

    model = load_robot("droid").compile(visual=False).mj
    sim = GpuSimulation(model, 1, "warp-cpu")
    shift = torch.tensor([0.0, 0.0, 0.1])
    sim.expand("body_pos")[0, 3] += shift
    sim.update_model(torch.ones(1, dtype=torch.bool))
    model.body_pos[3] += shift.numpy()
    mujoco.mj_setConst(model, mujoco.MjData(model))
    np.testing.assert_allclose(sim.expand("body_invweight0")[0], model.body_invweight0, rtol=2e-3)
