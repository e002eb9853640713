"""What was found, in words and tables that a person without statistics can read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy.style.compare import Dose, Row, Seeds
from robopolicy.style.measures import Gait, Measures
from robopolicy.style.prove import Proof
from robopolicy.style.swap import Swap
from robopolicy.style.switch import Switch

_SHOWN = {
    "frechet": "Fréchet", "mmd": "MMD", "dtw_rad": "pose error", "auc_windows": "told apart",
    "cost_of_transport": "cost of transport", "velocity_rmse_mps": "velocity error", "survival": "survival",
}  # fmt: skip
# So many times nearer to its clips a motion must be than to the same with every joint out of step. Standing still and
# walks that nobody showed score 0.9 to 1.0, a copy any number.
_APART = 1.25
_RHYTHM = 0.1  # footfalls may differ by so much: parts of a stride, and of the stride frequency


@dataclass(frozen=True)
class Verdict:
    """One test: its name, whether it passed (None: it says nothing yet), and the finding in words."""

    name: str
    passed: bool | None
    text: str

    @property
    def word(self) -> str:
        """For the reader who reads one word."""
        return "unclear" if self.passed is None else "passed" if self.passed else "FAILED"


@dataclass(frozen=True)
class Table:
    """A table with a title, a header, rows of text, and a sentence that explains it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str


def verdicts(proof: Proof) -> list[Verdict]:
    """What the tests say, the strongest first."""
    found = []
    if proof.swap:
        found += _of_swap(proof.swap)
    found += [_of_control(name, *values) for name, values in proof.control.items() if _styled(proof, name)]
    found += [v for row in proof.rows if row.subject.styled for v in _of_steps(proof, row)]
    found += [_of_switch(switch) for switch in proof.switches]
    found += [_of_dose(dose) for dose in proof.doses]
    for t in proof.transport:
        text = f"{t.clips}: {t.styled:.2f} with the prior (weight {t.weight:g}), {t.off:.2f} without any clips: "
        text += f"{t.ratio:.2f} times"
        text += "; the aim is at most half" if t.same_task else "; but those without learned another task"
        text += f"; the clips themselves would take {t.copy:.2f}" if t.copy is not None else ""
        found.append(Verdict("cost of transport", t.ratio <= 0.5 if t.same_task else None, text))
    return found


def tables(proof: Proof) -> list[Table]:
    """Every figure: one table of policies, one of gaits, the swap's matrices, the doses."""
    out = [_policies(proof), _gaits(proof)]
    if proof.swap:
        out.append(_matrix(proof.swap))
    if proof.seeds:
        out.append(_seeds_table(proof.seeds))
    out += [_switch_table(switch) for switch in proof.switches]
    return out + [_dose_table(dose) for dose in proof.doses]


def as_text(proof: Proof) -> str:
    """The verdicts and tables for a terminal."""
    lines: list[str] = []
    for table in tables(proof):
        cells = [table.header, *table.rows]
        widths = [max(len(row[k]) for row in cells) for k in range(len(table.header))]
        lines += [table.title]
        for row in cells:
            first = f"  {row[0]:<{widths[0]}}"
            lines.append("  ".join([first, *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))]))
        lines.append("")
    lines += [f"{v.word:<8}{v.name}: {v.text}" for v in verdicts(proof)]
    return "\n".join(lines)


def _of_swap(swap: Swap) -> list[Verdict]:
    found = swap.verdicts()
    agree = [word for word, name in (("Fréchet distance", "frechet"), ("MMD", "mmd")) if found[name]]
    passed = len(agree) == 2
    if passed:
        text = "every policy is nearest to the clips it was trained on"
    else:
        text = f"a policy is nearer to clips it was not trained on (it holds by: {', '.join(agree) or 'nothing'})"
    moves = "and by movement alone" if found["movement"] else "but not by movement alone: it is a matter of posture"
    control = (
        "with the clips' frames in random order no policy is nearest to its own any more, as it must be"
        if found["control_fails"]
        else "a policy is nearest to its own clips even with their frames in random order: this swap proves little"
    )
    return [
        Verdict("swap", passed, f"{text}, {moves}" if passed else text),
        Verdict("shuffled control", found["control_fails"], control),
    ]


def _of_control(name: str, own: float, shuffled: float, apart: float) -> Verdict:
    """A robot that stands still is about as far from joints out of step as from the clip, hence the margin."""
    passed = shuffled > own and apart > _APART * own
    text = (
        f"{shuffled / own:.1f} times as far from its clips with their frames in random order, and {apart / own:.1f} "
        "times as far from them with their joints out of step"
    )
    why = "" if passed else f" (more than 1 and {_APART:g} are asked): it moves together as they do by chance at best"
    return Verdict("movement", passed, f"the movement of {name} is {text}{why}")


def _of_steps(proof: Proof, row: Row) -> list[Verdict]:
    """Whether the feet keep the clips' rhythm: what a person sees first."""
    clip, own, name = proof.copies[row.clips.key].gait, row.measures.gait, row.subject.label
    if clip.duty is None or clip.phase is None or clip.frequency_hz is None:
        return []
    if own.duty is None or own.phase is None or own.frequency_hz is None:
        return [Verdict("footfalls", False, f"{name} takes no steps, its clips do")]
    wrong = []
    if abs(own.frequency_hz / clip.frequency_hz - 1) > _RHYTHM:
        wrong.append(f"{own.frequency_hz:.2f} strides per second, in the clips {clip.frequency_hz:.2f}")
    for foot, a, b in zip(proof.robot.robot.feet, own.phase, clip.phase, strict=True):
        if b is not None and (a is None or abs((a - b + 0.5) % 1 - 0.5) > _RHYTHM):
            wrong.append(f"{foot} lands at {_n(a)} of a stride, in the clips at {_n(b)}")
    for foot, a, b in zip(proof.robot.robot.feet, own.duty, clip.duty, strict=True):
        if abs(a - b) > _RHYTHM:
            wrong.append(f"{foot} is down for {_n(a)} of a stride, in the clips for {_n(b)}")
    text = "; ".join(wrong) or f"its feet land and lift as the clips' do, within {_RHYTHM:g} of a stride"
    return [Verdict("footfalls", not wrong, f"{name}: {text}")]


def _of_dose(dose: Dose) -> Verdict:
    steps = [f"{w:g}: {_mean(v)}" for w, v in zip(dose.weights, dose.values["frechet"], strict=True)]
    fall = "falls with every step of the weight" if dose.falls else "does not fall with every step of the weight"
    what = f"{dose.of} told how much style to have" if dose.told else f"{dose.of}, by the weight of the style reward"
    none = "; those of weight 0 had no clips to imitate or to begin from either" if 0 in dose.weights[:1] else ""
    text = f"{what}: the distance to the clips {fall} ({', '.join(steps)}){'' if dose.told else none}"
    return Verdict("dose", dose.falls, text)


def _of_switch(switch: Switch) -> Verdict:
    stood, names = switch.trials - switch.fell, " and ".join(switch.styles)
    text = f"{switch.policy} changed between {names} {switch.changes} times while walking: {stood} of {switch.trials} "
    text += "robots did not fall, and "
    text += "every style looked like its own clips" if switch.follows else "not every style looked like its own clips"
    return Verdict("switch", not switch.fell and switch.follows, text)


def _switch_table(switch: Switch) -> Table:
    rows = [[told, *map(_n, distances)] for told, distances in zip(switch.styles, switch.distance, strict=True)]
    note = (
        "Fréchet distance of the motion under each style to the clips of every style; its own should be the smallest."
    )
    return Table(f"Switch: {switch.policy}", ["told", *(f"to {name}" for name in switch.styles)], rows, note)


def _policies(proof: Proof) -> Table:
    several = len(proof.sets) > 1
    header = [
        "policy",
        *(["against"] if several else []),
        "weight",
        "seed",
        "Fréchet",
        "MMD",
        "pose error",
        "told apart",
    ]
    header += ["by its steps", "cost of transport", "velocity error", "survival", "style_distance"]
    rows = []
    for clips in proof.sets:
        against, copy = [clips.name] if several else [], proof.copies[clips.key]
        rows.append(["a perfect copy", *against, "", "", *_scores(copy), _n(copy.cost_of_transport), "", "", ""])
        for row in proof.rows:
            if row.clips.key == clips.key:
                s, e = row.subject, row.evaluation
                rest = [
                    _n(row.measures.cost_of_transport),
                    _n(e.velocity_rmse_mps, 3),
                    _n(e.survival),
                    _n(e.style_distance),
                ]
                weight = f"{s.weight:g}" if s.clips else "no clips"
                rows.append([s.label, *against, weight, str(s.seed), *_scores(row.measures), *rest])
    note = (
        "Fréchet and MMD: how far the policy's motion is from the clips, at their own velocities; smaller is nearer. "
        "Of a loop that is the whole, which training saw too; of any other clip the half that it never saw. Pose "
        "error [rad]: mean difference of the joints once both are in step; a fall costs. Told apart: how often a "
        "classifier trained afterwards tells policy from clip on what it has not seen; 0.5 is a guess, 1 always. By "
        "its steps: the same from footfalls alone. A perfect copy is what was trained on: where it is told apart too, "
        "the two halves of the clips differ, and that figure says little. Cost of transport: work per weight and way; "
        "of a copy, what its motors would do by inverse dynamics. Velocity error [m/s], survival and style_distance "
        "are those of robopolicy eval: the whole command range, with pushes."
    )
    return Table("How near to the clips", header, rows, note)


def _scores(m: Measures) -> list[str]:
    return [_n(m.frechet), _n(m.mmd, 3), _n(m.dtw_rad, 3), _n(m.auc_windows), _n(m.auc_strides)]


def _gaits(proof: Proof) -> Table:
    feet = list(proof.robot.robot.feet)
    header = ["gait", "strides/s", *(f"{f} down" for f in feet), *(f"{f} lands" for f in feet[1:]), "regularity"]
    rows = []
    for clips in proof.sets:
        rows.append([f"clips {clips.name}", *_gait(proof.copies[clips.key].gait, len(feet))])
        rows += [[r.subject.label, *_gait(r.measures.gait, len(feet))] for r in proof.rows if r.clips.key == clips.key]
    note = (
        f"Down: part of a stride in which the foot is on the ground. Lands: when it touches down after {feet[0]} did, "
        "as a part of the stride. Regularity: how much that varies from stride to stride, in parts of a stride; 0 is a "
        "clock."
    )
    return Table("How the feet step", header, rows, note)


def _gait(gait: Gait, feet: int) -> list[str]:
    if gait.duty is None or gait.phase is None or gait.phase_spread is None:
        return ["stands"] + ["" for _ in range(2 * feet)]
    spread = [s for s in gait.phase_spread[1:] if s is not None]
    regular = f"{np.mean(spread):.2f}" if spread else ""
    return [_n(gait.frequency_hz), *map(_n, gait.duty), *map(_n, gait.phase[1:]), regular]


def _matrix(swap: Swap) -> Table:
    header = ["policy", *(f"{kind} to {c}" for kind in ("Fréchet", "MMD", "movement", "shuffled") for c in swap.clips)]
    rows = []
    for p, name in enumerate(swap.policies):
        cells = [
            f"{'*' if k == swap.own[p] else ''}{_n(table[p, k], digits)}"
            for table, digits in ((swap.frechet, 2), (swap.mmd, 3), (swap.movement, 2), (swap.shuffled, 2))
            for k in range(len(swap.clips))
        ]
        rows.append([name, *cells])
    note = (
        "Each policy at the velocities of each set of clips; * marks the clips it was trained on, which must be the "
        "smallest of its row. Movement: the same without posture. Shuffled: movement against the clips' "
        "frames in random order; put in place of the policy's own clips it must no longer be the smallest."
    )
    return Table("Swap", header, rows, note)


def _seeds_table(seeds: Sequence[Seeds]) -> Table:
    rows = [[f"{s.of} ({s.count})", *(_mean(s.values[name]) for name in _SHOWN)] for s in seeds]
    return Table("Over several seeds", ["policies", *_SHOWN.values()], rows, "Mean, and deviation over the seeds.")


def _dose_table(dose: Dose) -> Table:
    rows = [[f"{w:g}", *(_mean(dose.values[name][k]) for name in _SHOWN)] for k, w in enumerate(dose.weights)]
    note = "Mean, and deviation over the seeds, by the weight of the style reward."
    if dose.told:
        note = "One policy, by how much of the style it is told to have."
    return Table(f"Dose: {dose.of}", ["weight", *_SHOWN.values()], rows, note)


def _styled(proof: Proof, label: str) -> bool:
    return any(row.subject.label == label and row.subject.styled for row in proof.rows)


def _mean(value: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return _n(value[0]) + (f" ± {_n(value[1])}" if value[1] else "")


def _n(value: float | None, digits: int = 2) -> str:
    """A number as short as it can be read."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.{digits}f}"
