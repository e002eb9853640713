"""Pictures of a policy over its clip: footfalls, phase plots, joints over a stride."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from robopolicy.motion.contacts import strides
from robopolicy.robot import RobotModel
from robopolicy.style.motions import Motion
from robopolicy.style.showcase import Showcase

CLIP, POLICY = "#2f6fb7", "#e0732b"
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": "#4a525b",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "text.color": "#23282e",
    "xtick.color": "#4a525b",
    "ytick.color": "#4a525b",
}
_SHOWN_S = 2.5  # of a gait diagram
_JOINTS = 6


def gait_diagram(shows: Sequence[Showcase], robot: RobotModel) -> bytes:
    """When each foot is on the ground, the clip's bar above the policy's, from a touchdown of the first foot. A PNG."""
    feet = list(robot.robot.feet)

    def draw(figure: Any) -> None:
        grid = figure.subplots(1, len(shows), squeeze=False, sharey=True)[0]
        for axes, show in zip(grid, shows, strict=True):
            for f in range(len(feet)):
                for motion, colour, y in ((show.reference, CLIP, -0.2), (show.policy, POLICY, 0.2)):
                    bars = _bars(motion.contact[: round(_SHOWN_S / show.dt), f], show.dt)
                    axes.broken_barh(bars, (f + y - 0.17, 0.34), facecolors=colour, linewidth=0)
            axes.set_yticks(range(len(feet)), feet)
            axes.set_ylim(len(feet) - 0.45, -0.55)  # downwards: the first foot on top, the clip above the policy
            axes.set_xlim(0, _SHOWN_S)
            axes.set_xlabel("seconds")
            axes.set_title(_title(show), loc="left")
            axes.grid(axis="x", alpha=0.3)
            axes.tick_params(axis="y", length=0)
        _legend(figure)

    return _png(draw, 5.6 * len(shows), 0.75 + 0.55 * len(feet) + 0.6)


def phase_plots(shows: Sequence[Showcase], robot: RobotModel) -> bytes:
    """Speed over angle of the three busiest joints of the first leg, and two of them against each other. A PNG."""

    def draw(figure: Any) -> None:
        grid = figure.subplots(len(shows), 4, squeeze=False)
        for row, show in zip(grid, shows, strict=True):
            joints = _busiest(show, _leg(robot), 3)
            drawn = ((show.reference, CLIP, 1.8, 3), (show.policy, POLICY, 0.8, 2))
            for axes, j in zip(row, joints, strict=False):
                for motion, colour, width, z in drawn:
                    axes.plot(
                        np.degrees(motion.joints[:, j]), motion.qvel[:, 6 + j], color=colour, linewidth=width, zorder=z
                    )
                axes.set_xlabel(f"{robot.joint_names[j]} [degree]")
                axes.set_ylabel("its speed [rad/s]")
            pair = _busiest(show, _leg(robot), 2)
            if len(pair) > 1:
                a, b = pair
                for motion, colour, width, z in drawn:
                    x, y = np.degrees(motion.joints[:, [a, b]]).T
                    row[3].plot(x, y, color=colour, linewidth=width, zorder=z)
                row[3].set_xlabel(f"{robot.joint_names[a]} [degree]")
                row[3].set_ylabel(f"{robot.joint_names[b]} [degree]")
            row[0].set_title(_title(show), loc="left")
        for axes in grid.flat:
            axes.grid(alpha=0.25)
        _legend(figure)

    return _png(draw, 14, 3.1 * len(shows) + 0.4)


def stride_curves(shows: Sequence[Showcase], robot: RobotModel) -> bytes:
    """Joint angles over one stride: the clip's mean as a line, the policy's with a band of one deviation. A PNG."""

    def draw(figure: Any) -> None:
        grid = figure.subplots(len(shows), _JOINTS, squeeze=False)
        for row, show in zip(grid, shows, strict=True):
            leg = _leg(robot)
            others = [j for j in range(len(robot.joint_names)) if j not in _legs(robot)]
            opposite = _leg(robot, len(robot.foot_bodies) // 2)  # a hind leg, or the right one
            joints = [*leg, *_busiest(show, others, _JOINTS), *opposite][:_JOINTS]
            for axes in row[len(joints) :]:
                axes.set_axis_off()
            for axes, j in zip(row, joints, strict=False):
                for motion, colour in ((show.policy, POLICY), (show.reference, CLIP)):
                    table = np.degrees(_by_stride(motion, j, show.dt))
                    if not len(table):
                        continue
                    percent, mean, std = np.linspace(0, 100, table.shape[1]), table.mean(0), table.std(0)
                    axes.fill_between(percent, mean - std, mean + std, color=colour, alpha=0.25, linewidth=0)
                    axes.plot(percent, mean, color=colour, linewidth=1.6)
                axes.set_title(robot.joint_names[j], fontsize=9)
                axes.set_xlabel("% of a stride")
                axes.grid(alpha=0.25)
                low, high = axes.get_ylim()
                if high - low < 10:  # a joint that hardly moves shall look so
                    axes.set_ylim((low + high) / 2 - 5, (low + high) / 2 + 5)
            row[0].set_ylabel(f"{show.label}\nangle [degree]")
        _legend(figure)

    return _png(draw, 14, 2.5 * len(shows) + 0.4)


def _png(draw: Any, width: float, height: float) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=CLIP, label="the clip"), Patch(color=POLICY, label="the policy")]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=9)


def _title(show: Showcase) -> str:
    return f"{show.label} beside {show.clip}"


def _bars(down: np.ndarray, dt: float) -> list[tuple[float, float]]:
    """Begin and length [s] of every stretch in which a foot (K,) is down."""
    edge = np.flatnonzero(np.diff(np.concatenate(([0], down.astype(int), [0]))))
    return [(a * dt, (b - a) * dt) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def _leg(robot: RobotModel, foot: int = 0) -> list[int]:
    """The joints between the base and a foot, from the base down."""
    mj, found = robot.mj, []
    body = int(robot.foot_bodies[foot])
    while body != robot.base_body and body > 0:
        first, count = mj.body_jntadr[body], mj.body_jntnum[body]
        found += [mj.joint(first + k).name for k in reversed(range(count))]
        body = int(mj.body_parentid[body])
    return [robot.joint_names.index(name) for name in reversed(found) if name in robot.joint_names]


def _legs(robot: RobotModel) -> set[int]:
    return {j for foot in range(len(robot.foot_bodies)) for j in _leg(robot, foot)}


def _busiest(show: Showcase, joints: Sequence[int], count: int) -> list[int]:
    """Those that the clip moves most, in their own order."""
    reach = np.ptp(show.reference.joints[:, list(joints)], axis=0) if joints else np.empty(0)
    kept = sorted(np.argsort(-reach)[:count].tolist())
    return [joints[k] for k in kept]


def _by_stride(motion: Motion, joint: int, dt: float, points: int = 51) -> np.ndarray:
    """A joint's angle at equal parts of every stride [rad]. Shape (S, points)."""
    found = strides(motion.contact, dt)
    frames = np.arange(len(motion))
    rows = []
    for begin, period in zip(found.start, found.period, strict=True):
        at = np.linspace(begin, begin + period / dt, points)
        rows.append(np.interp(at, frames, motion.joints[:, joint]))
    return np.array(rows)
