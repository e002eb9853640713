"""The whole test: every policy on the same hidden plants, and a curve for every perturbation."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.transfer.bullet import LEFT_OUT, BulletPlant
from robopolicy_runtime.transfer.deviations import NOMINAL
from robopolicy_runtime.transfer.draw import PERTURBATIONS, Drawn, draw_single, draw_whole
from robopolicy_runtime.transfer.measure import PLANTS, Episode, Summary, summarize
from robopolicy_runtime.transfer.workers import episode_runner

STRENGTHS = (0.25, 0.5, 0.75, 1.0)

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Second:
    """The same episodes in the second engine, Bullet.

    Attributes:
        nominal: On the plant of the training.
        hidden: On the whole hidden plants, without ``bullet.LEFT_OUT``.
    """

    nominal: Summary
    hidden: Summary


@dataclass(frozen=True)
class Result:
    """What one policy did.

    Attributes:
        name: What it is called here.
        file: The policy.
        nominal: On the plant of its training.
        whole: Its episodes on the whole hidden plants, in the order of ``Study.plants``.
        hidden: What they say together.
        curves: For every perturbation the summary at strength 0 and at each of ``Study.strengths``.
        second: In the second engine; None where it was not asked for.
    """

    name: str
    file: PolicyFile
    nominal: Summary
    whole: tuple[Episode, ...]
    hidden: Summary
    curves: dict[str, tuple[Summary, ...]]
    second: Second | None = None

    @property
    def rows(self) -> list[tuple[str, Summary]]:
        """What the overview says: plants and their summary."""
        rows = [("nominal", self.nominal), ("hidden", self.hidden)]
        if self.second is not None:
            rows.append(("second engine (bullet)", self.second.nominal))
            rows.append(("second engine (bullet), hidden", self.second.hidden))
        return rows


@dataclass(frozen=True)
class Study:
    """The test of one policy, or of two side by side.

    Attributes:
        results: One for each policy.
        plants: The whole hidden plants.
        strengths: Of the curves, 0 first.
        seconds: Length of an episode [s].
        notes: What a reader must know before comparing the policies.
    """

    results: tuple[Result, ...]
    plants: tuple[Drawn, ...]
    strengths: tuple[float, ...]
    seconds: float
    notes: tuple[str, ...]


def run_study(
    files: Sequence[PolicyFile],
    seeds: int,
    seconds: float = 10.0,
    names: Sequence[str] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    progress: Progress | None = None,
    jobs: int = 1,
    engines: Sequence[str] | None = ("mujoco",),
) -> Study:
    """Run every episode. Seed k has the same plants, command, start and noise for every policy and at every strength.

    Args:
        files: The policies, of one robot.
        seeds: Episodes per point of a curve, and whole hidden plants; seeds 0 to ``seeds - 1``.
        seconds: Length of an episode [s].
        names: Perturbations to draw a curve for; by default all.
        strengths: Points of the curves, besides 0.
        progress: Told how many episodes are done, of how many, and the seconds since the start.
        jobs: Processes to run episodes in; the numbers do not depend on it.
        engines: ``mujoco``, and ``bullet`` for the nominal and the whole plants in a second engine; None for all that
            can run here, with a note where one cannot.

    Raises:
        ContractError: A file's robot is another one than the first one's, there is no such perturbation or engine, or a
            number is out of range.
    """
    names = list(PERTURBATIONS) if names is None else list(dict.fromkeys(names))
    if seeds < 1:
        raise ContractError(f"{seeds} seeds: at least 1")
    if not seconds > 0:
        raise ContractError(f"episodes of {seconds:g} s: must be longer than 0")
    joints = files[0].contract.joint_names
    for file in files[1:]:
        if file.contract.joint_names != joints:
            raise ContractError(
                f"{file.path} drives {', '.join(file.contract.joint_names)}; {files[0].path} drives "
                f"{', '.join(joints)}: they can only be compared on one robot"
            )
    if jobs < 1:
        raise ContractError(f"{jobs} jobs: at least 1")
    second, engine_notes = _second_engine(files, engines)
    # Drawn before anything runs, so that a wrong name costs no time.
    plants = tuple(draw_whole(seed, len(joints)) for seed in range(seeds))
    singles = {
        name: [[draw_single(name, s, seed, len(joints)) for seed in range(seeds)] for s in strengths] for name in names
    }
    nominal = [Drawn(seed, {}, NOMINAL) for seed in range(seeds)]
    jobs_of = {("nominal", "mujoco"): nominal, ("whole", "mujoco"): list(plants)}
    for name, points in singles.items():
        jobs_of |= {(f"{name} {s:g}", "mujoco"): drawn for s, drawn in zip(strengths, points)}
    if second:
        jobs_of |= {("nominal", "bullet"): nominal, ("whole", "bullet"): list(plants)}
    work = [(i, plant, engine) for i in range(len(files)) for (_, engine), drawn in jobs_of.items() for plant in drawn]
    episodes: list[Episode] = []
    began = time.monotonic()
    with episode_runner(files, seconds, jobs) as runner:
        for episode in runner(work):
            episodes.append(episode)
            if progress is not None:
                progress(len(episodes), len(work), time.monotonic() - began)
    each = iter(episodes)
    results = []
    for name, file in zip(_names(files), files, strict=True):
        found = {key: tuple(itertools.islice(each, len(drawn))) for key, drawn in jobs_of.items()}
        said = {key: summarize(drawn) for key, drawn in found.items()}
        base, hidden = said["nominal", "mujoco"], said["whole", "mujoco"]
        curves = {p: (base, *(said[f"{p} {s:g}", "mujoco"] for s in strengths)) for p in names}
        other = Second(said["nominal", "bullet"], said["whole", "bullet"]) if second else None
        results.append(Result(name, file, base, found["whole", "mujoco"], hidden, curves, other))
    return Study(tuple(results), plants, (0.0, *strengths), seconds, (*_notes(files), *engine_notes))


def _second_engine(files: Sequence[PolicyFile], engines: Sequence[str] | None) -> tuple[bool, tuple[str, ...]]:
    """Whether to run Bullet too, and what a reader must know of it."""
    for engine in engines or ():
        if engine not in PLANTS:
            raise ContractError(f"no engine {engine!r}; there are: {', '.join(PLANTS)}")
    if engines is not None and "mujoco" not in engines:
        raise ContractError("the engine mujoco cannot be left out: it is what the others are compared with")
    if engines is not None and "bullet" not in engines:
        return False, ()
    try:
        for file in files:
            BulletPlant(file.mjcf, file.contract)
    except ContractError as error:
        if engines is not None:
            raise
        return False, (f"no second engine: {error}",)
    return True, (f"in the second engine hidden plants are without {', '.join(LEFT_OUT)}, which is MuJoCo's own",)


def _names(files: Sequence[PolicyFile]) -> list[str]:
    """File names without folder and suffix; where they are the same, with the path."""
    short = [file.path.stem for file in files]
    return short if len(set(short)) == len(short) else [str(file.path) for file in files]


def _notes(files: Sequence[PolicyFile]) -> tuple[str, ...]:
    """Where the policies' own nominal plants are not the same."""
    first, notes = files[0].contract, []
    for file in files[1:]:
        c = file.contract
        for what, a, b in (
            ("robot model", first.hashes.mjcf, c.hashes.mjcf),
            ("gains", (first.kp, first.kd), (c.kp, c.kd)),
            ("control period", first.control_period_s, c.control_period_s),
            ("commands", first.command, c.command),
            ("rule of a fall", first.score, c.score),
        ):
            if a != b:
                notes.append(f"the files differ in their {what}: each policy is tested with its own")
    return tuple(notes)
