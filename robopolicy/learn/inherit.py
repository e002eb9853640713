"""A policy that begins as another run's: the same robot under other rewards, disturbances or observations.

Every input that the other policy had keeps its weights. One that it did not have, an earlier reading or a new term,
begins with weights of zero, so that the new policy acts exactly as the other one did and learns from there what the
new inputs are good for.
"""

import torch
from torch import Tensor, nn

from robopolicy.checkpoint import Run
from robopolicy.env.env import Env
from robopolicy.env.state import State
from robopolicy.errors import UserError
from robopolicy.learn.policy import RobotPolicy, RunningNormalizer, load_policy
from robopolicy.task import Task

_SEEN = 2e5  # how many samples the normalisers pretend to have seen, so that they soon follow the new task

Column = tuple[str, str, int, int]  # a term's name, what it measures, how many readings ago, which of its values


def inherit(policy: RobotPolicy, env: Env, run: Run) -> None:
    """Make a fresh policy act and judge as a run's does, in place.

    Args:
        policy: Of the new task.
        env: Of the new task.
        run: The other one, of the same robot.

    Raises:
        UserError: It is of another robot, is told something else, its networks have other widths, or it sees what the
            new one does not.
    """
    task, other = env.task, run.task
    if other.robot != task.robot:
        raise UserError(f"{run.folder} is of robot {other.robot!r}, this task of {task.robot!r}")
    told = [", ".join(t.channels.names) for t in (other, task)]
    if told[0] != told[1]:
        raise UserError(f"{run.folder} is told {told[0]}; this task tells {told[1]}")
    for name in ("hidden_actor", "hidden_critic"):
        ours, theirs = (tuple(getattr(t.ppo, name)) for t in (task, other))
        if ours != theirs:
            flag = f"--ppo.{name.replace('_', '-')} {' '.join(map(str, theirs))}"
            raise UserError(f"{run.folder} has networks {name} {list(theirs)}, this task {list(ours)}: give it {flag}")
    before = load_policy(other.ppo, run.sidecar, run.state["learner"]["policy"]).to(env.device)
    obs, state = env.reset(), env.snapshot()
    for role, teacher in (("actor", (task.teacher, other.teacher)), ("critic", (True, True))):
        ours, theirs = (_columns(t, state, whole) for t, whole in zip((task, other), teacher, strict=True))
        lost = dict.fromkeys(name for name, *rest in theirs if (name, *rest) not in ours)
        if lost:
            hint = "; robopolicy distill teaches what it knows to one that sees less" if other.teacher else ""
            raise UserError(
                f"the {role} of {run.folder} sees {', '.join(lost)}, of which this task's sees less, or none{hint}"
            )
        known = getattr(before, f"{role}_normalizer")
        _network(getattr(policy, role), getattr(before, role), ours, theirs)
        _normalizer(getattr(policy, f"{role}_normalizer"), known, ours, theirs, obs[role])
    with torch.no_grad():
        policy.log_std.copy_(before.log_std)
        policy.bound_log_std_()


def _columns(task: Task, state: State, whole: bool) -> dict[Column, float]:
    """What a policy sees, in order, and the factor on each value; ``whole``: with what the critic sees besides."""
    terms = task.observations | (task.privileged if whole else {})
    found: dict[Column, float] = {}
    for name, term in terms.items():
        size = term.function(state, **term.params).shape[1]
        for ago in reversed(range(term.history)):
            what = f"{term.function.__name__} {sorted(term.params.items())}"
            found |= dict.fromkeys([(name, what, ago, i) for i in range(size)], term.scale)
    return found


def _places(ours: dict[Column, float], theirs: dict[Column, float]) -> tuple[list[int], list[int]]:
    """Where the values that both see are, in each."""
    place = {column: i for i, column in enumerate(theirs)}
    both = [(i, place[column]) for i, column in enumerate(ours) if column in place]
    return [a for a, _ in both], [b for _, b in both]


@torch.no_grad()
def _network(net: nn.Sequential, before: nn.Sequential, ours: dict[Column, float], theirs: dict[Column, float]) -> None:
    weights, first = before.state_dict(), net[0].weight
    assert isinstance(first, Tensor)
    mine, its = _places(ours, theirs)
    wide = torch.zeros_like(first)
    wide[:, mine] = weights["0.weight"][:, its]
    net.load_state_dict(weights | {"0.weight": wide})


def _normalizer(
    new: RunningNormalizer,
    before: RunningNormalizer,
    ours: dict[Column, float],
    theirs: dict[Column, float],
    seen: Tensor,
) -> None:
    """The statistics of what both see; of an earlier reading those of the latest; of the rest those of ``seen``."""
    mean, var = seen.mean(0), seen.var(0, correction=0)
    place = {column: i for i, column in enumerate(theirs)}
    for i, (column, scale) in enumerate(ours.items()):
        name, what, _, part = column
        source = column if column in theirs else (name, what, 0, part)
        if source in theirs:
            ratio, k = scale / theirs[source], place[source]
            mean[i] = ratio * before.mean[k]
            width = before.var[k].sqrt() + before.epsilon  # what a value is divided by
            var[i] = (ratio * width - new.epsilon).clamp(min=0).square()
    new.merge(mean, var, int(_SEEN))
