"""The droid walks over hills, bumps and low steps; what differs between robots widens as it copes."""

from dataclasses import replace

from robopolicy.env.adr import Adr
from robopolicy.env.terrain import Terrain
from robopolicy.task import Task, load_task


def task() -> Task:
    return replace(
        load_task("droid_robust"),
        adr=Adr(active=True, start=0.3),
        terrain=Terrain(bumps=0.03, slope=0.15, steps=0.02, ramp_steps=3000),
    )
