"""The droid walks where it is told in one of two characters, and changes from one to the other as it goes."""

from dataclasses import replace

from robopolicy.task import Task, load_task


def task() -> Task:
    walk = load_task("droid_walk")
    styles = {"calm": ("walk_*", "turn_*", "stand_idle"), "jaunty": ("jaunty_*", "stand_idle")}
    return replace(walk, prior=replace(walk.prior, clips=(), styles=styles))
