"""Ground that is not flat: one landscape for all robots, gentle at its low-x side and as rough as told at the other."""

from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from torch import Tensor

from robopolicy.constants import constant
from robopolicy.errors import UserError
from robopolicy.mjcf import FLOOR

_EDGE = 12.0  # robots begin so far from the edge [m]
_PATCH = 4.0  # [m] over which hills and stairs change


@dataclass
class Terrain:
    """Shape of the ground; all at 0 is a plane. Robots begin anywhere on it, in the beginning on its gentle side."""

    bumps: float = 0.0
    """Height of random bumps, from the lowest to the highest, where the landscape is roughest [m]."""
    slope: float = 0.0
    """Steepest slope of its hills there [rad]."""
    steps: float = 0.0
    """Height of its steps there [m]."""
    ramp_steps: int = 0
    """Control steps of training over which robots spread from the gentle side over all of it; 0: from the start."""
    size: float = 64.0
    """Length of its side [m]. Robots begin at least 12 m from its edge; those that walk farther fall over it."""
    cell: float = 0.08
    """Distance between two known heights [m]."""
    seed: int = 0
    """Which landscape."""

    @property
    def active(self) -> bool:
        """Whether it is no plane."""
        return any((self.bumps, self.slope, self.steps))

    def validate(self) -> None:
        """Check the settings.

        Raises:
            UserError: A value is out of its range.
        """
        for name in ("bumps", "slope", "steps", "ramp_steps"):
            if getattr(self, name) < 0:
                raise UserError(f"terrain.{name} is {getattr(self, name)}; it must not be negative")
        if self.slope > 0.7:
            raise UserError(f"terrain.slope is {self.slope} rad; nothing stands on more than 0.7")
        if self.size < 2 * _EDGE + 4:
            raise UserError(f"terrain.size is {self.size} m; robots would walk over its edge below {2 * _EDGE + 4:g}")
        if not 0.02 <= self.cell <= 1:
            raise UserError(f"terrain.cell is {self.cell} m; it must be between 0.02 and 1")

    @property
    def count(self) -> int:
        """Known heights along a side."""
        return round(self.size / self.cell) + 1

    def heights(self) -> np.ndarray:
        """Height at (y, x) of a grid whose middle is the world's origin [m]. Shape (count, count)."""
        rng = np.random.default_rng(self.seed)
        n = self.count
        along = np.linspace(0, 1, n)  # how rough it is, along x
        x = np.linspace(-self.size / 2, self.size / 2, n)
        patches = max(round(self.size / _PATCH), 2)
        hills = _smooth(rng.uniform(-1, 1, (patches, patches)), n)
        steepest = max(np.abs(np.gradient(hills, x, axis=k)).max() for k in (0, 1))
        height = np.tan(self.slope) / steepest * hills * along if self.slope else np.zeros((n, n))
        if self.steps:  # terraces: whole numbers of steps, at most one between neighbours
            levels = np.round(2 * _smooth(rng.uniform(-1, 1, (patches, patches)), n))
            height = height + self.steps * along * levels
        if self.bumps:
            height = height + self.bumps * along * rng.uniform(-0.5, 0.5, (n, n))
        return height


def _smooth(coarse: np.ndarray, n: int) -> np.ndarray:
    """A coarse grid as a fine one, (n, n), without kinks."""
    fine = np.linspace(0, len(coarse) - 1, n)
    low = np.minimum(fine.astype(int), len(coarse) - 2)
    part = fine - low
    part = part * part * (3 - 2 * part)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def lay(spec: mujoco.MjSpec, terrain: Terrain) -> None:
    """Put a landscape in the place of the floor's plane."""
    heights, half = terrain.heights(), terrain.size / 2
    low, span = float(heights.min()), max(float(np.ptp(heights)), 1e-6)
    spec.add_hfield(
        name=FLOOR,
        size=[half, half, span, 1.0],
        nrow=terrain.count,
        ncol=terrain.count,
        userdata=((heights - low) / span).flatten(),
    )
    floor = spec.geom(FLOOR)
    floor.type, floor.hfieldname, floor.pos = mujoco.mjtGeom.mjGEOM_HFIELD, FLOOR, [0, 0, low]


class Ground:
    """Heights of a landscape for many places at once.

    Args:
        terrain: The landscape.
        device: Where.
    """

    def __init__(self, terrain: Terrain, device: torch.device):
        self.terrain = terrain
        heights = terrain.heights()
        self._heights = torch.as_tensor(heights, dtype=torch.float32, device=device).flatten()
        self._spread = terrain.size / 2 - _EDGE

    def height(self, place: Tensor) -> Tensor:
        """Height of the ground [m], shape (...), at places x, y in the world [m], shape (..., 2).

        Between the known heights it is that of MuJoCo's triangles: a cell is cut from its low x and y to the high ones.
        """
        n, half = self.terrain.count, self.terrain.size / 2
        grid = ((place + half) * ((n - 1) / self.terrain.size)).clamp(0, n - 1.001)
        cell = grid.floor()
        a, b = (grid - cell).unbind(-1)
        first = (cell[..., 1] * n + cell[..., 0]).long()
        h00, h10, h01, h11 = (self._heights[first + step] for step in (0, 1, n, n + 1))
        below = h00 + (h10 - h00) * a + (h11 - h10) * b
        above = h00 + (h11 - h01) * a + (h01 - h00) * b
        return torch.where(a >= b, below, above)

    def place(self, share: Tensor, u: Tensor) -> Tensor:
        """Where episodes begin [m], (n, 2), of numbers from 0 to 1, (n, 2): in the gentle ``share`` of the land."""
        x = -self._spread + 2 * self._spread * share * u[:, 0]
        return torch.stack((x, self._spread * (2 * u[:, 1] - 1)), dim=-1)

    def standing_height(self, place: Tensor) -> Tensor:
        """Height of the ground at its highest point within a robot's feet, a quarter of a metre around (n, 2). (n,)."""
        around = constant((-0.25, -0.12, 0.0, 0.12, 0.25), place.device)
        offset = torch.cartesian_prod(around, around)
        return self.height(place.unsqueeze(1) + offset).amax(1)
