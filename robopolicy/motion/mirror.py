"""A robot's left-right map: which joint becomes which in a mirror, and with which sign."""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.feet import full_qpos

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

TOLERANCE = 5e-3
"""How far the two sides of a robot may differ [m]."""
POSITION_SIGN = np.array([1.0, -1.0, 1.0])
"""Of vectors: positions, linear velocities. The mirror is the plane of x and z."""
ROTATION_SIGN = np.array([-1.0, 1.0, -1.0])
"""Of axial vectors: angular velocities, torques, roll pitch yaw."""
QUATERNION_SIGN = np.array([1.0, -1.0, 1.0, -1.0])
"""Of quaternions wxyz: a rotation's axis is an axial vector."""

_SIDES = ("l r", "left right", "fl fr", "rl rr", "hl hr", "bl br", "lf rf", "lh rh", "lb rb", "lr rr")
"""Words that say left and right; hind left is RL (with FL) or LR (with LF), by what exists."""
_SIDE = re.compile(
    "(?<![A-Za-z])(?:left|right|Left|Right)|(?<=[a-z])(?:Left|Right)|(?<![A-Za-z])[A-Za-z]{1,5}(?![A-Za-z])"
)


class Mirror:
    """Reflects poses and motions of a robot in the plane of its x and z axes.

    Joints are paired by name (``l_knee``, ``left_knee``, ``FL_calf``, ...; a joint without a side is its own
    partner); signs follow from the joints' axes; the whole is checked by forward kinematics.

    Attributes:
        joint_index, joint_sign: ``mirrored[j] = joint_sign[j] * joints[joint_index[j]]``, angles or
            velocities, in contract order. Shapes (J,).
        foot_index: Foot ``f`` does in the mirror what foot ``foot_index[f]`` does. Shape (F,).
        qpos_index, qpos_sign: The same for whole configurations, base first. Shapes (7 + J,).
        qvel_index, qvel_sign: The same for whole velocities. Shapes (6 + J,).
    """

    def __init__(self, model: "RobotModel") -> None:
        """Derive the map.

        Raises:
            UserError: A joint has a side but no partner, or the robot's sides are not mirror images.
        """
        self.joint_index = np.array([_partner(name, model) for name in model.joint_names], dtype=int)
        zero = np.zeros(len(model.joint_names))
        _, axes, feet = _geometry(model, zero)
        # The reflection of a turn about axis a is one about the reflection of -a.
        reflected = ROTATION_SIGN * axes[self.joint_index]
        self.joint_sign = np.where((axes * reflected).sum(axis=1) < 0, -1.0, 1.0)
        apart = np.linalg.norm((POSITION_SIGN * feet)[:, None] - feet[None], axis=2)
        self.foot_index = apart.argmin(axis=0)
        self.qpos_index = np.concatenate([np.arange(7), 7 + self.joint_index])
        self.qpos_sign = np.concatenate([POSITION_SIGN, QUATERNION_SIGN, self.joint_sign])
        self.qvel_index = np.concatenate([np.arange(6), 6 + self.joint_index])
        self.qvel_sign = np.concatenate([POSITION_SIGN, ROTATION_SIGN, self.joint_sign])
        self._check(model)

    def joints(self, values: np.ndarray) -> np.ndarray:
        """Joint angles or velocities in the mirror. Shape (..., J) -> (..., J)."""
        return self.joint_sign * values[..., self.joint_index]

    def qpos(self, qpos: np.ndarray) -> np.ndarray:
        """Configurations in the mirror.

        Args:
            qpos: Base position, world [m]; base quaternion wxyz; joint angles [rad]. Shape (..., 7 + J).
        """
        return self.qpos_sign * qpos[..., self.qpos_index]

    def qvel(self, qvel: np.ndarray) -> np.ndarray:
        """Velocities in the mirror.

        Args:
            qvel: Base linear velocity, world [m/s]; base angular velocity, body [rad/s]; joint velocities
                [rad/s]. Shape (..., 6 + J).
        """
        return self.qvel_sign * qvel[..., self.qvel_index]

    def feet(self, values: np.ndarray) -> np.ndarray:
        """What each foot does in the mirror; components keep their signs. Shape (..., F) -> (..., F)."""
        return values[..., self.foot_index]

    def _check(self, model: "RobotModel") -> None:
        """Joints and feet of mirrored poses must lie where the mirror shows them."""
        generator = np.random.default_rng(0)
        for _ in range(4):
            pose = generator.uniform(model.lower, model.upper)
            anchors, _, feet = _geometry(model, pose)
            mirrored_anchors, _, mirrored_feet = _geometry(model, self.joints(pose))
            error = np.linalg.norm(mirrored_anchors - POSITION_SIGN * anchors[self.joint_index], axis=1)
            worst = int(error.argmax())
            name, partner = (model.joint_names[i] for i in (worst, self.joint_index[worst]))
            if error[worst] > TOLERANCE:
                raise UserError(
                    f"robot {model.robot.name!r} is not symmetric: joint {name!r} lies {1000 * error[worst]:.0f} mm "
                    f"from the mirror image of {partner!r}"
                )
            error = np.linalg.norm(mirrored_feet - POSITION_SIGN * feet[self.foot_index], axis=1)
            if error.max() > TOLERANCE:
                site = model.mj.site(model.foot_sites[int(error.argmax())]).name
                raise UserError(
                    f"robot {model.robot.name!r} is not symmetric: foot {site!r} lies {1000 * error.max():.0f} mm "
                    "from the mirror image of another"
                )


def _geometry(model: "RobotModel", joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Anchors and axes of the joints and sites of the feet, base frame [m]. Shapes (J, 3), (J, 3), (F, 3)."""
    data = mujoco.MjData(model.mj)
    data.qpos[:] = full_qpos(model, np.concatenate([[0, 0, 0, 1, 0, 0, 0], joints]))
    mujoco.mj_kinematics(model.mj, data)
    ids = [model.mj.joint(name).id for name in model.joint_names]
    return data.xanchor[ids], data.xaxis[ids], data.site_xpos[model.foot_sites]


def other_side(name: str, names: Collection[str]) -> str | None:
    """The name of the same thing on the other side.

    Args:
        name: Of a joint, body or site, e.g. ``"l_knee"`` or ``"FL_calf_joint"``.
        names: What exists.

    Returns:
        Its partner; the name itself if it says no side; None if it says one and there is no partner.
    """
    sided = False
    for word in _SIDE.finditer(name):
        for other in _others(word.group().lower()):
            sided = True
            candidate = name[: word.start()] + _like(word.group(), other) + name[word.end() :]
            if candidate in names:
                return candidate
    return None if sided else name


def _partner(name: str, model: "RobotModel") -> int:
    """Index of the joint of the other side, or of the joint itself if its name says no side."""
    partner = other_side(name, model.joint_names)
    if partner is None:
        raise UserError(
            f"joint {name!r} of robot {model.robot.name!r} has no partner on the other side; "
            f"its joints: {', '.join(model.joint_names)}"
        )
    return model.joint_names.index(partner)


def _others(word: str) -> list[str]:
    """What the word for a side may be called on the other side."""
    pairs = [pair.split() for pair in _SIDES]
    return [b if word == a else a for a, b in pairs if word in (a, b)]


def _like(example: str, word: str) -> str:
    """The word in the example's case: ``FL`` and ``fr`` give ``FR``."""
    return word.upper() if example.isupper() else word.capitalize() if example[0].isupper() else word
