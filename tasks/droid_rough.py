"""The droid walks over hills, bumps and low steps, with motors as they are, and ranges that widen as it copes."""

from dataclasses import replace

from robopolicy.env.adr import Adr
from robopolicy.env.terrain import Terrain
from robopolicy.task import Push, Task, load_task, randomize
from robopolicy.terms import randomizers


def task() -> Task:
    walk = load_task("droid_walk")
    seen = walk.observations
    past = {name: replace(seen[name], history=3) for name in ("gravity", "joint_position", "joint_velocity")}
    motors = {
        "torque_speed": randomize(randomizers.torque_speed, no_load=(0.6, 1.1), corner=(0.2, 0.7)),
        "supply": randomize(randomizers.supply_voltage, voltage=(0.75, 1.1), sag=(0.0, 0.2)),
        "joint_damping": randomize(randomizers.joint_damping, added=(0.0, 0.15)),
        "backlash": randomize(randomizers.backlash, play=(0.0, 0.035)),
        "sensor_latency": randomize(randomizers.sensor_latency, steps=(0, 2)),
        "latency": randomize(randomizers.action_latency, steps=(0, 4)),
    }
    return replace(
        walk,
        observations=seen | past,
        randomizers=walk.randomizers | motors,
        adr=Adr(active=True, start=0.3),
        push=Push(velocity=0.4, yaw_rate=0.4, force=40.0, interval_s=(3.0, 8.0), ramp_steps=3000),
        terrain=Terrain(bumps=0.03, slope=0.15, steps=0.02, ramp_steps=3000),
        prior=replace(walk.prior, reference_start=0.5),
    )
