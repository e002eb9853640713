"""From a keyframe file to a clip: splines through the keys, feet and head by inverse kinematics."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.gait import glide
from robopolicy.motion.ik import FootIK
from robopolicy.motion.keyframes import flight
from robopolicy.motion.keyframes.contacts import FootPath, foot_path
from robopolicy.motion.keyframes.mirrored import SAME_TIME, Reflection
from robopolicy.motion.keyframes.parse import Parser
from robopolicy.motion.keyframes.script import BASE, Part, Script, Wave
from robopolicy.motion.keyframes.spline import Key, spline
from robopolicy.motion.keyframes.targets import REACH as TARGET_REACH
from robopolicy.motion.keyframes.targets import TargetIK
from robopolicy.motion.pose import quat_from_euler

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

REACH = 1e-6
"""How far a foot may stay from its place before the file is refused [m]."""
BEYOND = 1e-6
"""A joint that is keyed this far beyond its range is at its limit [rad]."""
SETTLED = 1e-7
"""A flight is found when the centre of mass moves less than this against the base from one try to the next [m]."""


def compile_keyframes(path: str | Path, model: "RobotModel") -> Clip:
    """Compile a keyframe file to a clip.

    Args:
        path: The TOML file.
        model: The robot it is for.

    Raises:
        UserError: The file is broken, names something that does not exist, or asks for more than the joints
            allow; the message names the place in the file, or the frame, the foot and how far it is off.
    """
    path = Path(path)
    ik = FootIK(model)
    script = read_script(path, model, ik)
    qpos = Compiler(script, model, ik).run()
    return Clip(
        name=path.stem,
        fps=script.fps,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=velocities(qpos, script.fps, np.zeros(3) if script.loop else None),
        loop=script.loop,
        robot=model.robot.name,
        source=f"keyframed by hand: keyframes/{path.name}",
    )


def read_script(path: Path, model: "RobotModel", ik: FootIK) -> Script:
    """The file, checked against a robot."""
    mj = model.mj
    legs = [model.joint_names[i] for i in ik.leg_joints]
    sites = [mj.site(i).name for i in range(mj.nsite)]
    bodies = [mj.body(i).name for i in range(1, mj.nbody)]
    effectors = dict.fromkeys(name for name in sites + bodies if name and name not in ik.feet.names)
    parser = Parser(path, model.robot.name, model.joint_names, legs, ik.feet.names, list(effectors), Reflection(model))
    return parser.script()


class Compiler:
    """Turns a script into configurations.

    Args:
        script: What to do.
        model: Who does it.
        ik: Its feet.
    """

    def __init__(self, script: Script, model: "RobotModel", ik: FootIK) -> None:
        self.script, self.model, self.ik = script, model, ik
        self.gravity = -float(model.mj.opt.gravity[2])
        count = round(script.duration * script.fps)
        self.times = np.arange(count if script.loop else count + 1) / script.fps
        self.tracks = _tracks(script)
        parts: dict[str, list[str]] = {}
        for part in dict.fromkeys([*self.tracks, *(wave.of for wave in script.waves)]):
            if part.group == "targets":
                parts.setdefault(part.of, []).append(part.name)
        for part in script.lags:
            if part not in self.tracks:
                keyed = ", ".join(map(_in_lag, self.tracks)) or "nothing"
                raise UserError(f"{script.path}, lag: no pose keys {_in_lag(part)}, to come later; keyed: {keyed}")
        keyed = [model.joint_names.index(part.name) for part in self.tracks if part.group == "joints"]
        legs = ik.leg_joints.tolist()
        self.targets = TargetIK(model, parts, script.world, keyed, legs) if parts else None
        self.paths: list[FootPath] = []
        if script.planted:
            self.paths = [foot_path(script, f, self.times, _travel, self.gravity) for f in ik.feet.names]

    def run(self) -> np.ndarray:
        """Configurations in contract order. Shape (K, 7 + J)."""
        script, model = self.script, self.model
        values = {part: self._values(part, keys) for part, keys in self.tracks.items()}
        for wave in script.waves:
            values[wave.of] = values.get(wave.of, self._rest(wave.of)) + self._sine(wave)
        self._within_ranges(values)
        qpos = self._solve_flights(values) if script.flights else self._solve(values)
        if self.paths:
            down = np.stack([path.down for path in self.paths], axis=1)
            flight.warn_of_levitation(script, model, qpos, down, self.gravity)
        return qpos

    def _values(self, part: Part, keys: list[Key]) -> np.ndarray:
        """A track over all frames. Shape (K,)."""
        cycle = self.script.duration if self.script.loop else None
        return spline(keys, self.times - self.script.lags.get(part, 0.0), cycle)

    def _sine(self, wave: Wave) -> np.ndarray:
        return wave.amplitude * np.sin(2 * np.pi * (self.times / wave.period - wave.shift))

    def _rest(self, part: Part) -> float:
        """Where a part is that nobody keys."""
        if part.group != "joints":
            return 0.0
        return float(self.model.default_pose[self.model.joint_names.index(part.name)])

    def _within_ranges(self, values: dict[Part, np.ndarray]) -> None:
        """Refuse a joint that is sent further than it goes.

        Raises:
            UserError: It names the joint, the frame and the range.
        """
        model = self.model
        for j, name in enumerate(model.joint_names):
            angles = values.get(Part("joints", "", name))
            limited = model.mj.jnt_limited[model.mj.dof_jntid[model.dof_adr[j]]]
            if angles is None or not limited:
                continue
            beyond = np.maximum(angles - model.upper[j], model.lower[j] - angles)
            k = int(beyond.argmax())
            if beyond[k] > BEYOND:
                sent, low, high = angles[k], model.lower[j], model.upper[j]
                raise UserError(
                    f"{self.script.path}: in frame {k} ({self.times[k]:.2f} s) {name} is sent to {sent:.4f} rad "
                    f"({np.degrees(sent):.2f} deg); it goes from {low:.4f} to {high:.4f} rad "
                    f"({np.degrees(low):.2f} to {np.degrees(high):.2f} deg)"
                )

    def _solve_flights(self, values: dict[Part, np.ndarray]) -> np.ndarray:
        """As `_solve`, with the centre of mass on a parabola in flight.

        The legs move against the base, so how high the base must be follows from the pose, and the pose from
        how high it is: a few turns settle it.
        """
        keys = self.tracks.get(flight.HEIGHT, [])
        flight.check_flights(self.script, keys)
        ripple = sum((self._sine(w) for w in self.script.waves if w.of == flight.HEIGHT), np.zeros(len(self.times)))
        above, qpos = np.zeros(len(self.times)), None
        for _ in range(10):
            leaving = flight.leaving_and_landing(self.script, keys, ripple, above, self.gravity)
            height = self._values(flight.HEIGHT, leaving) + ripple
            values = values | {flight.HEIGHT: flight.fly(self.script, height, above, self.gravity)}
            qpos = self._solve(values, qpos)
            before, above = above, flight.centre_above_base(self.model, qpos)
            if np.ptp(above - before) < SETTLED:
                break
        assert qpos is not None
        return qpos

    def _solve(self, values: dict[Part, np.ndarray], near: np.ndarray | None = None) -> np.ndarray:
        """Configurations that do what the tracks say, frame by frame. Shape (K, 7 + J).

        Args:
            values: Tracks [m, rad]. Shapes (K,).
            near: Where to start looking, e.g. an earlier solution. Shape (K, 7 + J).
        """
        model, ik, count = self.model, self.ik, len(self.times)
        x, y, height, roll, pitch, yaw = (values.get(Part("base", "", name), np.zeros(count)) for name in BASE)
        position = np.stack([x, y, height + model.home_qpos[2]], axis=1)
        base = np.concatenate([position, quat_from_euler(roll, pitch, yaw)], axis=1)
        joints = np.tile(model.default_pose, (count, 1))
        for j, name in enumerate(model.joint_names):
            joints[:, j] = values.get(Part("joints", "", name), joints[:, j])
        if self.targets is not None:
            for k in range(count):
                joints[k] = self._aim(k, base[k], joints[k], values)
        if not self.paths:
            return np.concatenate([base, joints], axis=1)
        home = np.concatenate([[0, 0, model.home_qpos[2], 1, 0, 0, 0], model.default_pose])
        homes = ik.feet.trajectories(home[None])[1][0] * [1, 1, 0]
        places = homes + np.stack([[p.values[n] for n in ("x", "y", "height")] for p in self.paths]).transpose(2, 0, 1)
        pitches, headings = (np.stack([p.values[n] for p in self.paths], axis=1) for n in ("pitch", "yaw"))
        qpos = np.empty((count, 7 + joints.shape[1]))
        legs = model.default_pose[ik.leg_joints]
        for k in range(count):
            joints[k, ik.leg_joints] = legs if near is None else near[k, 7 + ik.leg_joints]
            qpos[k], error = ik.solve(base[k], joints[k], places[k], headings[k], pitches[k])
            if error > REACH:
                raise UserError(
                    f"{self.script.path}: in frame {k} ({self.times[k]:.2f} s) {ik.complaint(qpos[k])} from its "
                    "place: the base goes further than the legs can follow"
                )
            legs = qpos[k, 7 + ik.leg_joints]
        return qpos

    def _aim(self, k: int, base: np.ndarray, joints: np.ndarray, values: dict[Part, np.ndarray]) -> np.ndarray:
        """Joint angles with the targets reached in frame k. Shape (J,)."""
        assert self.targets is not None
        wanted: dict[str, dict[str, float]] = {name: {} for name in self.targets.tasks}
        for part, value in values.items():
            if part.group == "targets":
                wanted[part.of][part.name] = float(value[k])
        joints, off = self.targets.solve(base, joints, wanted)
        name, error = max(off.items(), key=lambda item: item[1])
        if error > TARGET_REACH:
            raise UserError(
                f"{self.script.path}: in frame {k} ({self.times[k]:.2f} s) {name} stays {1000 * error:.1f} mm or mrad "
                "from its target: its joints cannot reach it"
            )
        return joints


def _tracks(script: Script) -> dict[Part, list[Key]]:
    """Keys of every quantity but the feet, in order of time."""
    tracks: dict[Part, list[Key]] = {}
    for pose in script.poses:
        for part, value in pose.values.items():
            keys = tracks.setdefault(part, [])
            if part.group != "feet" and not (keys and pose.time - keys[-1][0] < SAME_TIME):
                keys.append((pose.time, value, pose.ease))
    return {part: keys for part, keys in tracks.items() if keys}


def _in_lag(part: Part) -> str:
    """A part as a lag or a wave names it."""
    return str(part) if part.group == "targets" else part.name


def _travel(share: np.ndarray) -> np.ndarray:
    """How a lifted foot goes from place to place: after it is up, before it is down."""
    return glide((share - 0.08) / 0.84)
