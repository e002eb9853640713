"""The page and its loop: physics in real time, pictures after every control step, panels a few times per second."""

import contextlib
import io
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import viser

from robopolicy.errors import UserError
from robopolicy.view.caption import Captions
from robopolicy.view.tour import Part, neutral
from robopolicy.view.web.gamepad import LEGEND, Gamepads, steering
from robopolicy.view.web.gate import Gate, stand_before
from robopolicy.view.web.pace import Pace
from robopolicy.view.web.panel import Guard, Moment, Panel
from robopolicy.view.web.panels.clips import ClipsPanel
from robopolicy.view.web.panels.command import CommandPanel
from robopolicy.view.web.panels.pace import PacePanel
from robopolicy.view.web.panels.plant import PlantPanel
from robopolicy.view.web.panels.plots import PlotsPanel
from robopolicy.view.web.panels.rewards import RewardsPanel
from robopolicy.view.web.panels.robots import RobotsPanel
from robopolicy.view.web.panels.status import StatusPanel
from robopolicy.view.web.repertoire import Repertoire
from robopolicy.view.web.scene import Scene
from robopolicy.view.web.subject import Subject

_PANELS_S = 0.2  # time between two updates of the panels [s]
_NOTES_S = 0.05  # between two points of a curve [s]
_IDLE_S = 0.1  # between two looks whether somebody has come [s]


class Page:
    """Serves a subject; any number of browsers see and control the same.

    Args:
        subject: What is shown.
        parts: What it is told until somebody takes over, see ``CommandPanel``.
        host: The address to listen on; other than loopback, a token is asked for.
        port: The first port to try; 0: any.

    Attributes:
        address: What to open in a browser.
        guard: Knows what went wrong in the panels.

    Raises:
        UserError: Nothing can listen on this address.
    """

    def __init__(self, subject: Subject, parts: Sequence[Part], host: str = "127.0.0.1", port: int = 8080):
        _require_address(host)
        self.subject, self.guard, self.pace = subject, Guard(), Pace(subject.dt)
        self.gate, self.gamepads = Gate(host), Gamepads()
        silent = contextlib.redirect_stdout(io.StringIO())  # its banner would lack the token
        with stand_before(self.gate, self.gamepads), silent:
            self.server = viser.ViserServer(host=host, port=port, label=subject.title, verbose=False)
        if not self.gate.closed:  # a server that starts in another way would stand open
            self.server.stop()
            raise RuntimeError("this version of viser starts a server that cannot be guarded")
        self.address = f"http://{_shown(host)}:{self.server.get_port()}/{self.gate.query}"
        self._qpos, self._qvel = subject.start()
        self._fell, self._time = False, 0.0
        self._captions = Captions(subject)
        self._command_now = neutral(subject.channels)
        self._rows = self._captions.read(self._command_now, self._qpos, self._qvel)
        self._sent: deque[float] = deque(maxlen=100)
        self._build(parts)

    def _build(self, parts: Sequence[Part]) -> None:
        gui, subject, guard = self.server.gui, self.subject, self.guard
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        self.scene = Scene(self.server, subject.spec, self._qpos, subject.count, subject.terrain)
        self._repertoire = Repertoire(subject.robot, subject.clips)
        names = [c.name for c in self._captions.channels]
        status = StatusPanel(gui, names, subject.feet, self.pace)
        self._clock = PacePanel(gui, self.pace, self._restart, guard)
        self._panels: dict[str, Panel] = {"status": status, "time": self._clock}
        if subject.count > 1:
            self._panels["robots"] = RobotsPanel(gui, subject, guard)
        tabs = gui.add_tab_group()
        self._command: CommandPanel | None = None
        self._plant: PlantPanel | None = None
        self._clips: ClipsPanel | None = None
        if subject.channels:
            with tabs.add_tab("Drive"):
                self._panels["command"] = self._command = CommandPanel(gui, subject.channels, parts)
        if subject.can_change:
            with tabs.add_tab("Plant"):
                self._panels["plant"] = self._plant = PlantPanel(gui, subject, guard)
        if self._repertoire.clips:
            with tabs.add_tab("Clips"):
                self._panels["clips"] = self._clips = ClipsPanel(gui, subject, self._repertoire, guard)
        if subject.look().rewards:
            with tabs.add_tab("Rewards"):
                self._panels["rewards"] = RewardsPanel(gui)
        with tabs.add_tab("Plots"):
            self._plots = PlotsPanel(gui, subject.joints, torques=subject.can_change)
            self._panels["plots"] = self._plots

    def run(self, stop: threading.Event) -> None:
        """Move and show until ``stop`` is set. While nobody looks, time stands still."""
        shown = noted = drawn = 0.0
        while not stop.is_set():
            self.guard.run("gamepad", self._hear_gamepads)
            changed = self.guard.catch_up()
            if not self.server.get_clients():
                self.pace.rest()
                stop.wait(_IDLE_S)
                continue
            now = time.perf_counter()
            steps = self.pace.due(now)
            for _ in range(steps):
                self._step()
            if steps or changed:
                self.guard.run("scene", lambda passed=now - drawn: self._draw(passed))
                drawn = now
            if steps and now - noted >= _NOTES_S:
                noted = now
                self.guard.run("plots", lambda: self._plots.note(self._moment()))
            if now - shown >= _PANELS_S:
                shown = now
                self._show()
            stop.wait(max(0.0, self.pace.wait() - (time.perf_counter() - now)))

    def close(self) -> None:
        """Let go of the port."""
        self.server.stop()

    def _hear_gamepads(self) -> None:
        """Do what gamepads ask for."""
        if self._command is not None:
            self._command.steer(steering(self.subject.channels, self.gamepads.axes))
        for button in self.gamepads.asked():
            if button == "pause":
                self._clock.turn()
            elif button == "reset":
                self.guard.later("time", self._restart)
            elif self._plant is not None:
                self._plant.push(button)

    def _restart(self) -> None:
        self._qpos, self._qvel = self.subject.start()
        self._fell = True

    def _step(self) -> None:
        told = self.guard.run("command", self._told)
        command = self._command_now if told is None else told
        state = self.guard.run("step", lambda: self.subject.step(command))
        if state is None:
            self._clock.halt()  # or it would fail again, fifty times a second
            return
        self._command_now = command
        self._qpos, self._qvel, fell = state
        self._fell = self._fell or fell
        self._time += self.subject.dt
        self._rows = self._captions.read(command, self._qpos, self._qvel, self._fell)
        self._fell = False

    def _told(self) -> np.ndarray:
        return np.zeros(0) if self._command is None else self._command.told(self._time)

    def _draw(self, passed: float) -> None:
        self.scene.draw(self.subject.everyone(), self.subject.chosen, passed, self._ghost())
        self.server.flush()  # or pictures wait for each other
        self._sent.append(time.perf_counter())

    def _ghost(self) -> np.ndarray | None:
        if self._clips is None:
            return None
        style = "" if self._command is None else self._command.style
        name = self._clips.follow(self._time, self._command_now, style)
        if name is None:
            return None
        qpos = self._repertoire.beside(name, self._time - self._clips.began, self._qpos, self.scene.beside)
        qpos[2] += self.scene.height(qpos[:2])
        return qpos

    def _moment(self) -> Moment:
        look = self.subject.look()
        if self.gamepads.connected:
            look = replace(look, notes=(*look.notes, LEGEND))
        return Moment(self._time, self._qpos, self._qvel, self._rows, look, self._rate(), self.guard.problems)

    def _rate(self) -> float:
        """Pictures per second over the last two seconds."""
        recent = [t for t in self._sent if t > time.perf_counter() - 2.0]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0

    def _show(self) -> None:
        moment = self.guard.run("look", self._moment)
        if moment is None:
            return
        with self.server.atomic():
            for name, panel in self._panels.items():
                self.guard.run(name, lambda panel=panel: panel.update(moment))


def _require_address(host: str) -> None:
    """Raise a UserError if nothing can listen there: viser would try a thousand ports of it and then wait for ever."""
    try:
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((host, 0))
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host}: cannot listen there: {error}") from None


def _shown(host: str) -> str:
    """The host as others reach it."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
