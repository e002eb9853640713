"""What a report says in words: the verdict, and warnings about what a person should look at."""

from dataclasses import dataclass

import numpy as np

from robopolicy import checkpoint
from robopolicy.report.judge import Judged
from robopolicy.report.subject import Subject

SURE_ON_FEET = 0.95
"""Survival from which a policy counts as sure on its feet; below ``OFTEN_FALLS`` it counts as one that often falls."""
OFTEN_FALLS = 0.8
FOLLOWS = 0.4
"""Velocity error, as a part of that of standing still, up to which a command counts as followed; above ``IGNORES`` it
does not."""
IGNORES = 0.7
_RIGHT = 0.95  # accuracy of a discriminator that can hardly be fooled
_LITTLE = 0.15  # style reward, of at most 1, with which there is little left to climb


@dataclass(frozen=True)
class Finding:
    """Something that a person should know. ``level`` is ``bad``, ``note`` or ``good``."""

    level: str
    text: str


def verdict(judged: Judged) -> Finding:
    """The policy in one sentence, by fixed rules that the page states."""
    e = judged.evaluation
    if e is None:
        return Finding("note", "Not evaluated: see the warnings.")
    parts, levels = [], []
    levels.append("good" if e.survival >= SURE_ON_FEET else "note" if e.survival >= OFTEN_FALLS else "bad")
    words = {"good": "Sure on its feet", "note": "Falls at times", "bad": "Falls often"}
    parts.append(words[levels[-1]])
    if e.velocity_rmse_mps is not None and judged.still_mps:
        share = e.velocity_rmse_mps / judged.still_mps
        levels.append("good" if share <= FOLLOWS else "note" if share <= IGNORES else "bad")
        words = {"good": "follows its commands", "note": "follows its commands loosely", "bad": "hardly follows them"}
        parts.append(words[levels[-1]])
    if e.style_distance is not None and judged.still_distance and judged.subject.task is not None:
        near = e.style_distance < judged.still_distance
        if judged.subject.task.prior.active:
            levels.append("good" if near else "bad")
            parts.append("moves in the style of its clips" if near else "does not move in the style of its clips")
    worst = "bad" if "bad" in levels else "note" if "note" in levels else "good"
    return Finding(worst, f"{', '.join(parts)}.")


def findings(judged: Judged) -> list[Finding]:
    """All warnings, the bad ones first."""
    s = judged.subject
    found = [Finding("bad" if s.act is None and s.path.is_dir() else "note", f"{m}.") for m in s.missing]
    found += [*_of_the_policy(judged), *_of_the_learning(s), *_of_the_run(s)]
    return sorted(found, key=lambda f: f.level != "bad")


def last_fifth(values: np.ndarray | None) -> float | None:
    """Mean of a column over the last fifth of a training; None where nothing was logged."""
    if values is None:
        return None
    late = values[-max(1, len(values) // 5) :]
    late = late[np.isfinite(late)]
    return float(late.mean()) if len(late) else None


def _of_the_policy(judged: Judged) -> list[Finding]:
    found, e, task = [], judged.evaluation, judged.subject.task
    if e is not None and e.survival < SURE_ON_FEET:
        found.append(Finding("bad", f"Falls in {1 - e.survival:.0%} of the episodes."))
    error, still = e.velocity_rmse_mps if e else None, judged.still_mps
    if error is not None and still and error > IGNORES * still:
        found.append(Finding("bad", f"The velocity error is near that of standing still, {still:.2g} m/s."))
    distance, rest = e.style_distance if e else None, judged.still_distance
    if distance is not None and rest and task and task.prior.active and distance >= rest:
        text = f"Style not learned: standing still would be as near to the clips ({rest:.3g})."
        found.append(Finding("bad", text))
    for f in judged.footfalls:
        if f.fell:
            found.append(Finding("bad", f"Falls undisturbed, on the plant as the model says, when told: {f.label}."))
        elif (
            not f.frequency
            and task
            and task.command.is_velocity
            and bool((np.abs(f.command[:3]) > task.gait.standing_speed).any())
        ):
            found.append(Finding("note", f"Does not step when told: {f.label}."))
    cells = [(c, p) for p in judged.planes for row in p.cells for c in row]
    fallen = [c for c, _ in cells if c.survival.value < OFTEN_FALLS]
    if fallen:
        found.append(Finding("note", f"Falls often at {len(fallen)} of {len(cells)} commands of the grid."))
    if e is not None and e.velocity_rmse_mps:
        far = [(c.velocity_rmse_mps, c, p) for c, p in cells if c.velocity_rmse_mps is not None]
        error, cell, _ = max(far, key=lambda t: t[0], default=(0.0, None, None))
        if cell is not None and task is not None and error > 2 * e.velocity_rmse_mps:
            told = ", ".join(f"{n} {v:g}" for n, v in zip(task.command.names, cell.command, strict=True) if v)
            found.append(Finding("note", f"Follows worst at {told or 'rest'}: {error:.2f} m/s off."))
    return found


def _of_the_learning(s: Subject) -> list[Finding]:
    found, p = [], s.progress
    if last_fifth(p.get("prior/saturated")):
        text = "The discriminator was saturated late in the training: it was right nearly always, and the style taught "
        found.append(Finding("bad", text + "nothing. Raise --prior.input-noise or --prior.gradient-penalty."))
    else:
        accuracy, reward = last_fifth(p.get("prior/accuracy")), last_fifth(p.get("prior/style_reward"))
        if accuracy is not None and reward is not None and accuracy > _RIGHT and reward < _LITTLE:
            text = (
                f"The discriminator is right {accuracy:.0%} of the time and leaves a style reward of {reward:.2f} only."
            )
            found.append(Finding("note", text))
    if "env/diverged" in p and float(np.nansum(p["env/diverged"])) > 0:
        found.append(Finding("bad", "The physics became unstable in some steps (env/diverged)."))
    error = p.get("env/velocity_error")
    if error is not None and len(error) >= 50:
        tenth = len(error) // 10
        before, last = float(np.nanmean(error[-2 * tenth : -tenth])), float(np.nanmean(error[-tenth:]))
        if last < 0.95 * before:
            found.append(Finding("note", "The velocity error was still falling at the end: longer training may help."))
    return found


def _of_the_run(s: Subject) -> list[Finding]:
    found, options = [], s.config.get("options", {})
    once = s.starts == 1 and not s.going_on  # what was asked for later is not written down
    steps, logged = s.trained.get("steps"), s.progress.get("env_steps")
    if s.going_on:
        later = (
            f" (the checkpoint has {steps:,.0f} steps, the log {logged[-1]:,.0f})"
            if steps and logged is not None
            else ""
        )
        found.append(Finding("note", f"The training seems to be going on; this is its last checkpoint{later}."))
    elif once and steps is not None and options.get("steps") and steps < options["steps"]:
        found.append(Finding("note", f"Stopped after {steps:,.0f} of {options['steps']:,.0f} steps."))
    asked, took = options.get("seconds"), s.trained.get("seconds")
    if asked and took is not None and once and not options.get("steps") and took < 0.98 * asked:
        found.append(Finding("note", f"Stopped after {took:.0f} of {asked:.0f} s."))
    if s.starts > 1:
        text = f"Resumed {s.starts - 1} time{'s' * (s.starts > 2)}; versions are known of the first part only."
        found.append(Finding("note", text))
    now = checkpoint.versions()
    other = [f"{n} {v} (here {now[n]})" for n, v in s.versions.items() if n in now and now[n] != v]
    if other:
        found.append(Finding("note", f"Trained with other versions: {', '.join(other)}."))
    return found
