"""Time on the page: real time, slower, paused, or step by step."""

_MOST = 4  # control steps between two pictures: a machine that is too slow plays slowly rather than in leaps


class Pace:
    """Says how many control steps are due.

    Args:
        dt: Time of a control step [s].

    Attributes:
        speed: 1 is real time.
        paused: Whether time stands still.
    """

    def __init__(self, dt: float):
        self.dt = dt
        self.speed, self.paused = 1.0, False
        self._asked = 0
        self._last: float | None = None
        self._owed = 0.0

    def ask_step(self) -> None:
        """One control step more while paused."""
        self._asked += 1

    def rest(self) -> None:
        """Nobody looks: what passes until the next ``due`` does not count."""
        self._last = None

    def due(self, now: float) -> int:
        """Control steps to do at time ``now`` [s]."""
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        if self.paused:
            steps, self._asked, self._owed = self._asked, 0, 0.0
            return min(steps, _MOST)
        self._owed += self.speed * passed / self.dt
        steps = min(int(self._owed + 1e-9), _MOST)
        self._owed = min(self._owed - steps, 1.0)
        return steps

    def wait(self) -> float:
        """Time until the next step is due [s]."""
        return 0.02 if self.paused else max(0.0, (1.0 - self._owed) * self.dt / self.speed)
