"""What MuJoCo's compiler derives from masses and inertias, for N robots at once.

``mujoco_warp.set_const`` does the same for any model, in hundreds of small kernels, one per degree of freedom and body:
too many for a control step. Here the reference pose and the bodies' places in it are everyone's, which is what makes
the Jacobians constants.
"""

from collections.abc import Mapping

import mujoco
import numpy as np
import torch
import warp as wp
from torch import Tensor

FIELDS = ("body_mass", "body_inertia", "body_ipos", "dof_armature")
"""What may differ from robot to robot."""


class InertiaConstants:
    """Computes the derived fields of robots that share their reference pose.

    Args:
        model: The robot.
        device: Where its tensors lie.
    """

    def __init__(self, model: mujoco.MjModel, device: torch.device) -> None:
        data = mujoco.MjData(model)
        data.qpos[:] = model.qpos0
        mujoco.mj_fwdPosition(model, data)
        jacobian = np.zeros((2, model.nbody, 3, model.nv))  # of the bodies' origins: velocity, angular velocity
        for body in range(model.nbody):
            mujoco.mj_jacBody(model, data, jacobian[0, body], jacobian[1, body], body)
        moment = np.zeros((model.nu, model.nv))
        mujoco.mju_sparse2dense(
            moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind
        )

        def constant(x: np.ndarray) -> Tensor:
            return torch.as_tensor(x, dtype=torch.float32, device=device)

        self._default = {name: constant(getattr(model, name)).unsqueeze(0) for name in FIELDS}
        self._linear, self._angular = constant(jacobian)
        axes = data.ximat.reshape(-1, 3, 3).transpose(0, 2, 1) @ jacobian[1]
        self._turned = constant(axes)  # angular velocity along the axes of inertia
        self._frame = constant(data.xmat.reshape(-1, 3, 3))
        self._moment = constant(moment)
        parents = model.body_parentid
        below = np.eye(model.nbody)  # whether a body (column) hangs on another (row)
        for body in range(model.nbody - 1, 0, -1):
            below[parents[body]] += below[body]
        self._below = constant(below)
        self._moves = constant(model.body_weldid != 0)
        share = np.eye(model.nv)  # three directions, or three rotations, of one joint share their mean
        for kind, first in zip(model.jnt_type, model.jnt_dofadr, strict=True):
            count = {mujoco.mjtJoint.mjJNT_FREE.value: 2, mujoco.mjtJoint.mjJNT_BALL.value: 1}.get(int(kind), 0)
            for start in range(first, first + 3 * count, 3):
                share[start : start + 3, start : start + 3] = 1 / 3
        self._share = constant(share)

    def derive(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The derived fields.

        Args:
            fields: Those of ``FIELDS`` that differ, by name, each (N, ...); the others are the model's.

        Returns:
            ``body_subtreemass`` (N, nbody), ``dof_invweight0`` (N, nv), ``body_invweight0`` (N, nbody, 2) and
            ``actuator_acc0`` (N, nu), as ``mj_setConst`` gives them.
        """
        mass, inertia, place, armature = (fields.get(name, self._default[name]) for name in FIELDS)
        n = max(map(len, (mass, inertia, place, armature)))
        centre = (self._frame @ place.unsqueeze(-1)).expand(-1, -1, -1, self._angular.shape[-1])
        linear = self._linear + torch.linalg.cross(self._angular.expand_as(centre), centre, dim=-2)  # of that point
        rows = torch.cat([part.expand(n, -1, -1, -1) for part in (linear, self._turned)], dim=1).flatten(1, 2)
        parts = mass.unsqueeze(-1).expand(n, -1, 3), inertia.expand(n, -1, -1)
        weighted = rows * torch.cat(parts, dim=1).flatten(1, 2).unsqueeze(-1)
        inverse = _inverse(rows.mT @ weighted + torch.diag_embed(armature))
        # The mean over three directions of J M^-1 J^T, for velocities and then for angular ones.
        rows = torch.cat([part.expand(n, -1, -1, -1) for part in (linear, self._angular)], dim=1).flatten(1, 2)
        spread = ((rows @ inverse) * rows).sum(-1).unflatten(-1, (2, -1, 3)).mean(-1)
        return {
            "body_subtreemass": mass @ self._below.mT,
            "dof_invweight0": inverse.diagonal(dim1=-2, dim2=-1) @ self._share,
            "body_invweight0": spread.mT * self._moves.unsqueeze(-1),
            "actuator_acc0": (self._moment @ inverse).norm(dim=-1),
        }


def _inverse(matrices: Tensor) -> Tensor:
    """Inverses of symmetric positive definite matrices (N, n, n), in one kernel that a CUDA graph can hold.

    torch's own solvers allocate and check on the host.
    """
    work = matrices.permute(1, 2, 0).contiguous()  # neighbouring threads read neighbouring numbers
    wp.launch(_eliminate, dim=work.shape[2], inputs=[wp.from_torch(work)])
    return work.permute(2, 0, 1)


@wp.kernel(enable_backward=False)
def _eliminate(a: wp.array3d(dtype=float)):  # type: ignore[valid-type]
    """Gauss-Jordan in place; positive definite matrices need no pivoting."""
    i = wp.tid()
    n = a.shape[0]
    for k in range(n):
        pivot = 1.0 / a[k, k, i]
        a[k, k, i] = 1.0
        for column in range(n):
            a[k, column, i] = a[k, column, i] * pivot
        for row in range(n):
            if row != k:
                factor = a[row, k, i]
                a[row, k, i] = 0.0
                for column in range(n):
                    a[row, column, i] = a[row, column, i] - factor * a[k, column, i]
