"""All tests of style on a set of runs: what can be asked of them follows from what they are to each other."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robopolicy.evaluate import Evaluation, evaluate
from robopolicy.robot import RobotModel
from robopolicy.style.compare import (
    AMOUNTS,
    Dose,
    Row,
    Seeds,
    Transport,
    over_seeds,
    told_dose,
    trained_doses,
    transports,
)
from robopolicy.style.distances import Yardstick
from robopolicy.style.measures import Measures, measure, transport
from robopolicy.style.motions import ClipSet, Motion
from robopolicy.style.rollouts import roll_out
from robopolicy.style.runs import Subject, clip_sets, load_subjects
from robopolicy.style.swap import Swap, make_swap
from robopolicy.style.switch import Switch, switch


@dataclass(frozen=True)
class Proof:
    """Everything that was found.

    Attributes:
        robot: The compiled robot.
        rows: One per policy and set of clips that concern each other.
        copies: What the frames that were trained on score: a perfect copy. By key of the set.
        control: Movement of each policy with clips against its own clips, against their shuffled frames, and against
            their joints out of step.
        swap: None without two sets of clips that a prior was trained on.
        seeds: One per group of policies that differ in their seeds alone.
        doses: One per task and set of clips with several weights, and one per policy that can be told a weight.
        transport: One per set of clips with policies with and without a prior.
        switches: One per policy of several styles.
        motions: Rollouts by label of the policy and key of the clips.
    """

    robot: RobotModel
    rows: list[Row]
    copies: dict[str, Measures]
    control: dict[str, tuple[float, float, float]]
    swap: Swap | None
    seeds: list[Seeds]
    doses: list[Dose]
    transport: list[Transport]
    switches: list[Switch]
    motions: dict[tuple[str, str], list[Motion]]

    @property
    def sets(self) -> list[ClipSet]:
        """The sets of clips."""
        return clip_sets([row.subject for row in self.rows])

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        names = {s.key: s.name for s in self.sets}
        return {
            "runs": [row.as_dict() for row in self.rows],
            "perfect_copy": {names[key]: m.as_dict() for key, m in self.copies.items()},
            "left_out_clips": {s.name: list(s.left_out) for s in self.sets},
            "control": {
                name: {"own": a, "own_shuffled": b, "own_out_of_step": c} for name, (a, b, c) in self.control.items()
            },
            "swap": self.swap.as_dict() if self.swap else None,
            "seeds": [asdict(s) for s in self.seeds],
            "dose": [asdict(d) | {"falls": d.falls} for d in self.doses],
            "cost_of_transport": [asdict(t) | {"ratio": t.ratio} for t in self.transport],
            "switch": [s.as_dict() for s in self.switches],
        }


def prove(folders: list[Path], episodes: int, seed: int) -> Proof:
    """Roll out every policy under every set's commands, and compare.

    Args:
        folders: Run folders, of one robot.
        episodes: Per policy and set of clips.
        seed: Of everything random.

    Raises:
        UserError: As ``load_subjects``.
    """
    say = _Progress()
    say("reading runs and clips")
    subjects, robot = load_subjects(folders)
    sets, dt, mass = clip_sets(subjects), subjects[0].task.control_dt, float(robot.mj.body_mass.sum())
    motions: dict[tuple[str, str], list[Motion]] = {}
    for s in subjects:
        for c in sets:
            say(f"{s.label}: {episodes} episodes at the velocities of {c.name}")
            motions[s.label, c.key] = roll_out(s, c, episodes, seed)
    yardsticks = {c.key: Yardstick([c], dt) for c in sets}
    copies = {c.key: measure(c.copy(robot), c, yardsticks[c.key], mass, seed) for c in sets}
    evaluations: dict[Path, Evaluation] = {}
    rows = []
    for s in subjects:
        if s.folder not in evaluations:
            say(f"{s.label}: the whole command range, with pushes")
            evaluations[s.folder] = evaluate(s.task, s.act, episodes, seed)
        for c in [s.clips] if s.clips else sets:
            say(f"{s.label}: against {c.name}")
            found = measure(motions[s.label, c.key], c, yardsticks[c.key], mass, seed)
            rows.append(Row(s, c, found, evaluations[s.folder]))
    doses = trained_doses(rows)
    for row in rows:
        if row.subject.adjustable:
            say(f"{row.subject.label}: told to have {', '.join(f'{a:g}' for a in AMOUNTS)} of its style")
            doses.append(told_dose(row, yardsticks[row.clips.key], mass, episodes, seed))
    say("swap and control")
    common = Yardstick(sets, dt)
    shuffled = {c.key: c.shuffled(robot, dt, seed) for c in sets}
    scattered = {c.key: c.out_of_step(robot, dt, seed) for c in sets}
    control = {}
    for s in subjects:
        if s.clips:
            key, own = s.clips.key, motions[s.label, s.clips.key]
            others = (s.clips.held_out, shuffled[key], scattered[key])
            found = [yardsticks[key].distance(own, other, s.clips.names) for other in others]
            near, mixed, apart = (d.movement if d else None for d in found)
            if near is not None and mixed is not None and apart is not None:
                control[s.label] = (near, mixed, apart)
    swap = _swap(subjects, motions, common, shuffled)
    switches = []
    for s in {s.folder: s for s in subjects}.values():
        if s.task.channels.styles:
            say(f"{s.folder.name}: changing the style while walking")
            switches.append(switch(s, seed=seed))
    costs = transports(
        subjects,
        sets,
        {at: transport(found, mass) for at, found in motions.items()},
        {key: found.cost_of_transport for key, found in copies.items()},
    )
    say("")
    return Proof(robot, rows, copies, control, swap, over_seeds(rows), doses, costs, switches, motions)


def _swap(
    subjects: Sequence[Subject],
    motions: dict[tuple[str, str], list[Motion]],
    yardstick: Yardstick,
    shuffled: dict[str, tuple[Motion, ...]],
) -> Swap | None:
    styled = [s for s in subjects if s.styled]
    sets = clip_sets(styled)
    if len(sets) < 2:
        return None
    keys = [c.key for c in sets]
    real = [[yardstick.distance(motions[s.label, c.key], c.held_out, c.names) for c in sets] for s in styled]
    mixed = [[yardstick.distance(motions[s.label, c.key], shuffled[c.key], c.names) for c in sets] for s in styled]
    own = [keys.index(s.clips.key) for s in styled if s.clips]
    return make_swap([s.label for s in styled], [c.name for c in sets], own, real, mixed)


class _Progress:
    """Says on standard error what is being done, and how long it has taken so far."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def __call__(self, what: str) -> None:
        if what:
            print(f"{time.perf_counter() - self.start:5.0f} s  {what}", file=sys.stderr, flush=True)
