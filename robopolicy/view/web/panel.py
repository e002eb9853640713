"""What every panel of the page has in common."""

import queue
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from robopolicy.view.caption import Row
from robopolicy.view.web.subject import Look

T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """One instant of the chosen robot.

    Attributes:
        time: Since the page was opened, in the robot's time [s].
        qpos, qvel: Its state. Shapes (nq,), (nv,).
        rows: What it was told and what was measured, in words.
        look: What else is known.
        rate: Pictures sent per second, lately.
        problems: What went wrong in a panel, by its name.
    """

    time: float
    qpos: np.ndarray
    qvel: np.ndarray
    rows: list[Row]
    look: Look
    rate: float
    problems: dict[str, str]


class Panel(Protocol):
    """A group of controls or displays."""

    def update(self, moment: Moment) -> None:
        """Show an instant; called a few times per second."""
        ...


class Guard:
    """Runs what belongs to a panel, and lives on if that fails: each mistake is printed once, and kept.

    Attributes:
        problems: The latest mistake of each name.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._todo: queue.SimpleQueue[tuple[str, Callable[[], object]]] = queue.SimpleQueue()

    def run(self, name: str, action: Callable[[], T]) -> T | None:
        """The action's result, or None if it failed."""
        try:
            return action()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if self.problems.get(name) != said:
                self.problems[name] = said
                print(f"{time.strftime('%H:%M:%S')} {name}: {said}", file=sys.stderr)
                traceback.print_exc()
            return None

    def later(self, name: str, action: Callable[[], object]) -> None:
        """Do something between two control steps. For the page's own threads, in which clicks arrive."""
        self._todo.put((name, action))

    def catch_up(self) -> bool:
        """Do what was put off. Returns whether there was anything."""
        done = False
        while not self._todo.empty():
            name, action = self._todo.get()
            self.run(name, action)
            done = True
        return done
