"""What turns an operator's wishes and animations into the command of the policy that drives, and into joint offsets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from robopolicy_runtime.contract import Command, Contract
from robopolicy_runtime.driver import Reading
from robopolicy_runtime.errors import say
from robopolicy_runtime.machine import Wish
from robopolicy_runtime.policy import Controller
from robopolicy_runtime.safety import Limits
from robopolicy_runtime.show.blend import Blend
from robopolicy_runtime.show.cast import Cast
from robopolicy_runtime.show.file import ShowFile
from robopolicy_runtime.show.mixer import Mixer


@dataclass(frozen=True)
class Scene:
    """What the show did in one control period; P policies, J joints of theirs, M names that can be moved.

    Attributes:
        policy: Which policy drives, in the order of the show file.
        faded: How far targets have gone over to it from the one before, from 0 to 1.
        weights: How much of each clip plays, in the order of the show file.
        told: What the policy is told, by the names of ``ShowFile.limits``; NaN for what it has no channel for, and
            while none drives. Shape (M,).
        offset: What was added to the policy's targets [rad]. Shape (J,).
    """

    policy: int
    faded: float
    weights: np.ndarray
    told: np.ndarray
    offset: np.ndarray


class Show:
    """Stands between what is asked for and the policies. It holds no robot: targets go to the caller of ``drive``.

    Time is counted in control periods, so that the same wishes give the same commands, however late the machine is.

    Args:
        file: The show.
        report: Gets lines for people.

    Attributes:
        contract: Of the policy that drives first.
        body: The same with the free joints after the policy's: what the safety layer holds. J + F joints.
        command: All channels of all policies and all joints that may be moved: what an operator can drive.
        requests: What can be asked for.
    """

    def __init__(self, file: ShowFile, report: Callable[[str], None] = say) -> None:
        self.file, self._report = file, report
        self.contract: Contract = file.contract
        self.body: Contract = file.body
        self.command, self.requests = _union(file), file.requests
        self._period_s = self.contract.control_period_s
        self._lower, self._upper = np.array(self.contract.position_lower), np.array(self.contract.position_upper)
        names = self.contract.joint_names
        at = {name: i for i, name in enumerate(self.command.names)}
        self._moved = np.array([j for j, name in enumerate(names) if name in at], int)
        self._moved_at = np.array([at[names[j]] for j in self._moved], int)
        self._free_at = np.array([at[name] for name in file.free], int)
        self._free_rest = np.array([joint.default for joint in file.free.values()])
        self._mixer = Mixer(self.command.names, file.clips, file.background, self._period_s)
        self._cast = Cast(file.parts, file.start, file.entry, file.fade_s)
        self._blend = Blend(file, self.command, report)
        self._now = 0
        self._rest()

    @property
    def controller(self) -> Controller:
        """The policy that drives."""
        return self._cast.controller

    @property
    def limits(self) -> Limits:
        """What the safety layer keeps to: the contract's, and the smallest angle at which some policy has fallen."""
        every = [Limits.of(part.policy.contract) for part in self.file.parts.values()]
        found, own = min(every, key=lambda limits: limits.tilt_rad), len(self.contract.joint_names)
        if not self.file.free:
            return found
        # An ear may hang anywhere, and somebody may flick it: no reason to let the robot fall.
        margin, speed = np.full((2, len(self.body.joint_names)), np.inf)
        margin[:own], speed[:own] = found.position_margin_rad, found.joint_speed
        return replace(found, rate=Limits.of(self.body).rate, position_margin_rad=margin, joint_speed=speed)

    @property
    def scene(self) -> Scene:
        """The latest control period."""
        told = np.full(len(self.command.names), np.nan)
        if self._running:
            at = self._blend.channels(self._cast.name)
            told[at] = self._blend.told(self._cast.name)
        policy = list(self.file.parts).index(self._cast.name)
        return Scene(policy, self._cast.faded, self._mixer.weights, told, self._sent)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the numbers of a ``Scene`` stand for: ``policies``, ``clips``, and ``names`` that can be moved; and, if
        there are some, which joints are ``free``.
        """
        found = {"policies": tuple(self.file.parts), "clips": tuple(self.file.clips), "names": self.command.names}
        return found | ({"free": tuple(self.file.free)} if self.file.free else {})

    def clock(self) -> float:
        """Control periods so far, as a time [s]."""
        return self._now * self._period_s

    def start(self) -> None:
        """The robot begins to be driven: the policy, the background and every value begin anew."""
        self._cast.begin()
        self._clear()
        self._running = True

    def direct(self, wish: Wish, reading: Reading | None, running: bool, lost: bool) -> Wish:
        """The beginning of a control period: what the policy is told, and what is left for the state machine to do.

        Args:
            wish: The operator's.
            reading: The newest sample; None if it may not drive.
            running: Whether a policy drives.
            lost: Whether the operator is gone: then clips end, and only the background goes on.
        """
        self._now += 1
        word, name = _split(wish.request, self.file)
        request = None if word else wish.request
        if not running or reading is None:
            if self._running:
                self._rest()
            if word == "policy":
                self._cast.choose(name)
                self._report(f"{name} will drive")
            elif word:
                self._report(f"refused to {wish.request}: no policy drives")
            return Wish({}, request)
        reading = self._own(reading)
        self._running = True
        self._cast.watch(reading, self._blend.told(self._cast.name))
        if lost:
            self._mixer.end_all(self._now)
        if word:
            self._perform(word, name, reading)
        self._finish(reading)
        self._blend.step(self._cast.name, self._mixer.mix(self._now), {} if lost else wish.command)
        told = self._blend.told(self._cast.name).tolist()
        return Wish(dict(zip(self._cast.part.channels, told, strict=True)), request)

    def drive(self, reading: Reading, command: np.ndarray) -> np.ndarray:
        """The end of a control period: joint targets for the safety layer [rad]. Shape (J + F,).

        Raises:
            ContractError: See ``Controller.step``.
        """
        # A reading answers to the targets before it: what was added to those is what the policy must not see.
        rate = (self._sent - self._sent_before) / self._period_s
        target = self._cast.step(self._own(reading), self._sent, rate, command)
        asked = target.copy()
        asked[self._moved] += self._blend.offset[self._moved_at]
        asked = np.clip(asked, self._lower, self._upper)
        self._sent_before, self._sent = self._sent, asked - target
        return np.concatenate((asked, self._free_rest + self._blend.offset[self._free_at]))

    def _own(self, reading: Reading) -> Reading:
        """A sample without the free joints, which no policy sees."""
        own = len(self.contract.joint_names)
        return replace(reading, joint_pos=reading.joint_pos[:own], joint_vel=reading.joint_vel[:own])

    def _perform(self, word: str, name: str, reading: Reading) -> None:
        if word == "policy":
            before = self._cast.name
            why = "it drives already" if name == before else self._switch(name, reading)
            if why is not None:
                self._report(f"refused to go from {before} to {name}: {why}")
            return
        why = (self._mixer.play if word == "play" else self._mixer.end)(name, self._now)
        if why is not None:
            self._report(f"refused to {word} {name}: {why}")

    def _switch(self, name: str, reading: Reading) -> str | None:
        before = self._cast.name
        why = self._cast.switch(name, reading, self._blend.told(before), self._sent)
        if why is None:
            self._report(f"{before} -> {name}")
            self._waits = False
        return why

    def _finish(self, reading: Reading) -> None:
        """A policy that drives for some time only gives way, as soon as the robot is fit for the next one."""
        part = self._cast.part
        if part.seconds is None or self._cast.driven * self._period_s < part.seconds:
            return
        why = self._switch(part.then, reading)
        if why is not None and not self._waits:
            self._waits = True
            self._report(f"{part.name} is over and waits to go to {part.then}: {why}")

    def _rest(self) -> None:
        """Nothing drives: the next time it is the first policy's turn, unless another one is asked for."""
        self._cast.choose()
        self._clear()
        self._running = False

    def _clear(self) -> None:
        self._mixer.clear(self._now + 1)
        self._blend.clear()
        self._sent = self._sent_before = np.zeros(len(self.contract.joint_names))
        self._waits = False


def _split(request: str | None, file: ShowFile) -> tuple[str, str]:
    """A request of the show as a word and a name; both are empty if it is none."""
    word, _, name = (request or "").partition(" ")
    if not name and word in file.parts:
        return "policy", word
    known: Mapping[str, object] = {"policy": file.parts, "play": file.clips, "end": file.clips}.get(word, {})
    return (word, name) if name in known else ("", "")


def _union(file: ShowFile) -> Command:
    """Every name that can be moved, as the channels of a command."""
    rest: dict[str, tuple[str, float]] = {}
    for part in file.parts.values():
        c = part.policy.contract.command
        for name, unit, value in zip(c.names, c.units, c.default, strict=True):
            rest.setdefault(name, (unit, value))
    found = [(limit, *rest.get(name, ("rad", 0.0))) for name, limit in file.limits.items()]
    return Command(
        tuple(file.limits),
        tuple(limit.low for limit, _, _ in found),
        tuple(limit.high for limit, _, _ in found),
        tuple(unit for _, unit, _ in found),
        tuple(value for _, _, value in found),
    )
