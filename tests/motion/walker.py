"""A made-up person who walks, and BVH text of any skeleton: kinematics of their own, apart from the code under test."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

# Y up, facing +Z, as most BVH files are; centimetres. Name, parent, offset.
PERSON = (
    ("Hips", -1, (0, 0, 0)),
    ("LeftUpLeg", 0, (9, -4, 0)), ("LeftLeg", 1, (0, -42, 0)), ("LeftFoot", 2, (0, -41, 0)),
    ("LeftToeBase", 3, (0, -6, 13)),
    ("RightUpLeg", 0, (-9, -4, 0)), ("RightLeg", 5, (0, -42, 0)), ("RightFoot", 6, (0, -41, 0)),
    ("RightToeBase", 7, (0, -6, 13)),
    ("Spine", 0, (0, 10, 0)), ("Spine1", 9, (0, 20, 0)), ("Neck", 10, (0, 25, 0)), ("Head", 11, (0, 10, 2)),
    ("LeftShoulder", 10, (4, 20, 0)), ("LeftArm", 13, (14, 0, 0)), ("LeftForeArm", 14, (27, 0, 0)),
    ("LeftHand", 15, (25, 0, 0)),
    ("RightShoulder", 10, (-4, 20, 0)), ("RightArm", 17, (-14, 0, 0)), ("RightForeArm", 18, (-27, 0, 0)),
    ("RightHand", 19, (-25, 0, 0)),
)  # fmt: skip
ANKLE = 8.0
"""Height of the ankle over the sole [cm]."""


@dataclass
class Walk:
    """A walk of so many frames; ``angles`` by joint name: Euler angles ZXY [deg], shape (K, 3)."""

    fps: float
    root: np.ndarray
    angles: dict[str, np.ndarray]
    ankles: np.ndarray
    stance: np.ndarray


def walk(seconds: float = 3.0, fps: float = 60.0, speed: float = 90.0, turn: float = 0.0) -> Walk:
    """A person who walks forward, [cm/s]; the head looks left and right; ``turn`` yaws the whole course [deg]."""
    count, period, duty = round(seconds * fps), 1.1, 0.62
    t = np.arange(count) / fps
    angles = {name: np.zeros((count, 3)) for name, _, _ in PERSON}
    root = np.stack([np.zeros(count), 84.0 + 1.2 * np.cos(4 * np.pi * t / period), speed * t], axis=1)
    ankles, stance = np.zeros((count, 2, 3)), np.zeros((count, 2), bool)
    for side, (name, offset, x) in enumerate((("Left", 0.0, 9.0), ("Right", 0.5, -9.0))):
        since = t / period - offset
        step = np.floor(since)
        swing = np.clip((since - step - duty) / (1 - duty), 0, 1)
        glide = swing**2 * (3 - 2 * swing)
        at = (step + offset + 0.5 * duty + glide) * period * speed
        lift = 12.0 * np.sin(np.pi * swing) ** 2
        ankles[:, side] = np.stack([np.full(count, x), ANKLE + lift, at], axis=1)
        stance[:, side] = swing == 0
        hip = root + np.array([x, -4.0, 0.0])
        down, ahead = hip[:, 1] - ankles[:, side, 1], ankles[:, side, 2] - hip[:, 2]
        reach = np.minimum(np.hypot(down, ahead), 82.9)
        knee = np.pi - np.arccos((42**2 + 41**2 - reach**2) / (2 * 42 * 41))
        inner = np.arccos((42**2 + reach**2 - 41**2) / (2 * 42 * reach))
        # Rotations about x (to the left) bring the leg, which points down, backwards.
        hip_x = -np.arctan2(ahead, down) - inner
        angles[f"{name}UpLeg"][:, 1] = np.degrees(hip_x)
        angles[f"{name}Leg"][:, 1] = np.degrees(knee)
        angles[f"{name}Foot"][:, 1] = -np.degrees(hip_x + knee)  # the sole stays level
        # In rest the arms point sideways: let them hang, and swing.
        sign = 1 if side == 0 else -1
        angles[f"{name}Arm"][:, 0] = -75.0 * sign
        angles[f"{name}ForeArm"][:, 2] = -20.0 * sign
    angles["Head"][:, 2] = 40.0 * np.sin(2 * np.pi * t / 3.0)
    angles["Hips"][:, 2] = turn
    root = Rotation.from_euler("y", turn, degrees=True).apply(root)
    return Walk(
        fps,
        root,
        angles,
        Rotation.from_euler("y", turn, degrees=True).apply(ankles.reshape(-1, 3)).reshape(ankles.shape),
        stance,
    )


def write_bvh(path, w: Walk, order: str = "ZXY", scale: float = 1.0, skeleton=PERSON, z_up: bool = False) -> None:
    """The walk as BVH text; ``order`` of the rotation channels, ``scale`` of lengths, axes turned if ``z_up``."""
    turn = Rotation.from_euler("x", 90, degrees=True) if z_up else Rotation.identity()
    lines, names = ["HIERARCHY"], [name for name, _, _ in skeleton]
    children = {i: [j for j, (_, p, _) in enumerate(skeleton) if p == i] for i in range(-1, len(skeleton))}
    columns = []

    def offset(value) -> str:
        return " ".join(f"{v:.6f}" for v in turn.apply(np.array(value, float) * scale))

    def write(i: int, depth: int) -> None:
        name, parent, value = skeleton[i]
        pad = "\t" * depth
        lines.extend([f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {name}", pad + "{", f"{pad}\tOFFSET {offset(value)}"])
        channels = " ".join(f"{a}rotation" for a in order)
        position = "Xposition Yposition Zposition " if parent < 0 else ""
        lines.append(f"{pad}\tCHANNELS {6 if parent < 0 else 3} {position}{channels}")
        rotation = turn * Rotation.from_euler("ZXY", w.angles[name], degrees=True) * turn.inv()
        if parent < 0:
            columns.append(turn.apply(w.root * scale))
        columns.append(rotation.as_euler(order, degrees=True))
        for child in children[i]:
            write(child, depth + 1)
        if not children[i]:
            lines.extend([f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\tOFFSET {offset((0, 0, 7))}", pad + "\t}"])
        lines.append(pad + "}")

    write(names.index("Hips"), 0)
    rows = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / w.fps:.8f}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
