"""Where a policy comes from: how it learned, its settings, contract, versions; each from what was found to HTML."""

import html
import json
import re
from collections.abc import Sequence

import numpy as np

from robopolicy import checkpoint
from robopolicy.report.findings import last_fifth
from robopolicy.report.judge import Judged
from robopolicy.report.page import folded, number, pre, table
from robopolicy.report.subject import Subject, differences, randomization
from robopolicy.report.svg import Line, chart
from robopolicy.view.plots import PANELS


def learning(judged: Sequence[Judged], prior: bool) -> str:
    """Learning curves over the steps: those of the prior with what they came to, or all others."""
    subjects = [j.subject for j in judged if "env_steps" in j.subject.progress]
    columns = list(dict.fromkeys(name for s in subjects for name in s.progress))
    if not columns:
        return ""
    panels: list[tuple[str, list[str]]] = []
    rewards: list[tuple[str, list[str]]] = []
    unused: list[str] = []
    for title, pattern in PANELS.items():
        names = [c for c in columns if re.fullmatch(pattern, c)]
        if title == "reward terms":
            told = [c for c in names if any(np.nansum(np.abs(s.progress[c])) > 0 for s in subjects if c in s.progress)]
            rewards = [(c.removeprefix("env/reward/"), [c]) for c in told]
            unused = [c.removeprefix("env/reward/") for c in names if c not in told]
        elif names and _of_prior(title) == prior:
            panels += [(title, names)] if len(subjects) == 1 else [(c, [c]) for c in names]
    shown = "".join(_curves(title, names, subjects, judged) for title, names in panels)
    if prior:
        return f"<h2>The prior</h2>{_prior_table(subjects)}<div class=charts>{shown}</div>" if shown else ""
    terms = "".join(_curves(title, names, subjects, judged) for title, names in rewards)
    terms = f"<h3>Reward terms, per step</h3><div class=charts>{terms}</div>" if terms else ""
    terms += f"<p class=soft>Zero throughout: {html.escape(', '.join(unused))}.</p>" if unused else ""
    return f"<h2>Learning</h2><div class=charts>{shown}</div>{terms}"


def settings_differences(judged: Sequence[Judged]) -> str:
    """The settings that are not the same in all."""
    runs = [j.subject for j in judged if j.subject.settings]
    if len(runs) < 2:
        return ""
    rows = [[name, *(_setting(v) for v in row)] for name, row in differences(runs).items()]
    header = ["setting", *(s.label for s in runs)]
    clips = [row for row in rows if row[0].startswith("clips.")]
    others = [row for row in rows if row not in clips]
    found = table(header, others, "wrap") if others else "<p>None but the clips.</p>" if clips else "<p>None.</p>"
    found += folded(f"{len(clips)} clip files that differ, by hash", table(header, clips, "wrap")) if clips else ""
    return f"<h2>Settings that differ</h2>{found}"


def randomness(judged: Judged) -> str:
    """What differs from robot to robot in the training."""
    task = judged.subject.task
    if task is None:
        return ""
    rows = [
        [name, ", ".join(f"{n} {_setting(v)}" for n, v in values.items()) or "-"]
        for name, values in randomization(task).items()
    ]
    push = task.push
    kicks = [f"±{push.velocity:g} m/s"] * bool(push.velocity) + [f"±{push.yaw_rate:g} rad/s"] * bool(push.yaw_rate)
    if push.force:
        kicks.append(f"up to {push.force:g} N for {push.force_s[0]:g} to {push.force_s[1]:g} s")
    if kicks:
        low, high = push.interval_s
        rows.append(["push", f"{', '.join(kicks)}, every {low:g} to {high:g} s"])
    if task.terrain.active:
        t = task.terrain
        rows.append(["ground", f"bumps {t.bumps:g} m, slope {np.degrees(t.slope):.3g}°, steps {t.steps:g} m"])
    if task.adr.active:
        rows.append(["all ranges", f"widened as the policy coped, from {task.adr.start:.0%} of each"])
    rows += [[f"noise of {name}", f"±{o.noise:g}"] for name, o in task.observations.items() if o.noise]
    if not rows:
        return "<h2>Randomization</h2><p>None: the policy knows one plant only.</p>"
    return f"<h2>Randomization</h2>{table(['', 'range'], rows, 'wrap')}"


def contract(judged: Judged) -> str:
    """Joints, observations and commands as a robot must know them."""
    c = judged.subject.contract
    if c is None:
        return ""
    header = ["joint", "home [rad]", "from", "to", "per action", "kp", "kd", "torque [Nm]", "speed [rad/s]"]
    columns = (c.default_pose, c.position_lower, c.position_upper, c.action.scale, c.kp, c.kd, c.torque_limit)
    rows = [
        [name, *(f"{column[k]:.3g}" for column in columns), number(c.velocity_limit[k])]
        for k, name in enumerate(c.joint_names)
    ]
    seen, start = [], 0
    for o in c.observations:
        end = start + o.size * o.history
        more = ", ".join(f"{n} {v:g}" for n, v in o.params.items())
        seen.append([o.name, o.term, f"{start} to {end - 1}", f"{o.scale:g}", str(o.history), more or "-"])
        start = end
    m = c.command
    told = [
        [n, f"{low:g}", f"{high:g}", unit, f"{default:g}"]
        for n, low, high, unit, default in zip(m.names, m.lower, m.upper, m.units, m.default, strict=True)
    ]
    delays = "; ".join(f"{n.removesuffix('_s')} {a * 1e3:g} to {b * 1e3:g} ms" for n, (a, b) in c.delays.items())
    facts = (
        f"{c.robot}, {len(c.joint_names)} joints; an action every {c.control_period_s * 1e3:g} ms, actions within "
        f"±{c.action.clip:g}; {c.observation_size} numbers seen; trained with {delays}."
    )
    return (
        f"<h2>Contract</h2><p>{html.escape(facts)}</p>{table(header, rows)}"
        f"<h3>What it sees</h3>{table(['block', 'term', 'columns', 'scale', 'history', 'more'], seen)}"
        f"<h3>What it is told</h3>{table(['channel', 'from', 'to', 'unit', 'default'], told)}"
    )


def origin(judged: Sequence[Judged]) -> str:
    """How to make it again; versions and hashes."""
    parts = ["<h2>Make it again</h2>"]
    for j in judged:
        s = j.subject
        if len(judged) > 1:
            parts.append(f"<h3>{html.escape(s.label)}</h3>")
        if s.config:
            again = f"robopolicy train --config {s.path / checkpoint.CONFIG}"
            parts.append(pre(f"{again}\n\n# it was begun with\n{s.config.get('command', '')}"))
        rows = [[n, v, checkpoint.versions().get(n, "-")] for n, v in s.versions.items()]
        if rows:
            parts.append(table(["", "trained with", "this page"], rows))
        hashes = [[f"SHA-256 of {n}", v] for n, v in s.hashes.items()]
        clips = s.config.get("clips") or (s.contract.hashes.clips if s.contract else {})
        parts.append(folded("Hashes", table(["", ""], hashes + [[f"clip {n}", v] for n, v in clips.items()], "wrap")))
        if s.config:
            parts.append(folded("All settings", pre(json.dumps(s.config["settings"], indent=1))))
    return "".join(parts)


def _of_prior(title: str) -> bool:
    return title in ("style reward", "discriminator")


def _prior_table(subjects: Sequence[Subject]) -> str:
    names = {
        "prior/accuracy": "accuracy of the discriminator; 0.5: fooled, 1: never",
        "prior/logit_gap": "its output for clips less that for the policy",
        "prior/saturated": "part of the time for which it was saturated",
        "prior/style_reward": "style reward per step",
    }
    rows = [
        [text, *(number(last_fifth(s.progress.get(name))) for s in subjects)]
        for name, text in names.items()
        if any(name in s.progress for s in subjects)
    ]
    header = ["mean of the last fifth", *(s.label if len(subjects) > 1 else "" for s in subjects)]
    return table(header, rows)


def _curves(title: str, names: Sequence[str], subjects: Sequence[Subject], judged: Sequence[Judged]) -> str:
    order = [j.subject.label for j in judged]
    lines = []
    for s in subjects:
        for k, name in enumerate(names):
            if name in s.progress:
                several = len(subjects) > 1
                shown, colour = (s.label, order.index(s.label)) if several else (name.rsplit("/", 1)[-1], k)
                lines.append(Line(shown, s.progress["env_steps"] / 1e6, s.progress[name], colour))
    return chart(title, lines, "M steps", legend=len(lines) > 1)


def _setting(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_setting(v) for v in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value[:12] if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else str(value)
