"""The ground around a robot where it is no plane: the triangles that its feet stand on."""

import numpy as np
import viser

from robopolicy.env.terrain import Terrain

_COLOURS = ((200, 205, 211), (174, 181, 190))  # of a chessboard, which shows how fast the ground goes by


class Landscape:
    """Draws a square part of a landscape, another one whenever the robot has left its middle.

    Args:
        server: The page.
        name: Of what is drawn.
        terrain: The landscape.
        half: From the middle to the side [m].
        square: Cells along a side of the chessboard's squares; the part moves by two of them at a time.
    """

    def __init__(self, server: viser.ViserServer, name: str, terrain: Terrain, half: float, square: int):
        self._cell, self._corner, self._heights = terrain.cell, -terrain.size / 2, terrain.heights()
        self._jump = 2 * square
        self._count = n = min(round(2 * half / terrain.cell), terrain.count - 1)
        self._last = (terrain.count - 1 - n) // self._jump * self._jump
        self._at: tuple[int, int] | None = None
        y, x = np.divmod(np.arange(n * n), n)
        low = y * (n + 1) + x  # a cell is cut from its low x and y to the high ones, as MuJoCo does
        a, b, c, d = low, low + 1, low + n + 1, low + n + 2
        cells = np.stack((a, b, d, a, d, c), axis=1)
        odd = (x // square + y // square) % 2 == 1
        self._meshes = [
            server.scene.add_mesh_simple(
                f"{name}/{i}", np.zeros(((n + 1) ** 2, 3)), cells[odd == bool(i)].reshape(-1, 3), color=colour,
                flat_shading=True, cast_shadow=False,
            )
            for i, colour in enumerate(_COLOURS)
        ]  # fmt: skip

    def draw(self, place: np.ndarray, shift: np.ndarray) -> None:
        """Show the part around a robot.

        Args:
            place: Of the robot, in the world [m]. Shape (2,).
            shift: From the world to the page [m]. Shape (3,).
        """
        middle = (place - self._corner) / self._cell - self._count / 2
        x, y = (int(np.clip(round(m / self._jump) * self._jump, 0, self._last)) for m in middle)
        if (x, y) != self._at:
            self._at = x, y
            vertices = self._vertices(x, y)
            for mesh in self._meshes:
                mesh.vertices = vertices
        for mesh in self._meshes:
            mesh.position = shift

    def _vertices(self, x: int, y: int) -> np.ndarray:
        """The known points from that cell on, in the world [m]. Shape (V, 3)."""
        rows, columns = np.meshgrid(*(start + np.arange(self._count + 1) for start in (y, x)), indexing="ij")
        place = [self._corner + self._cell * k for k in (columns, rows)]
        return np.stack((*place, self._heights[rows, columns]), axis=-1).reshape(-1, 3).astype(np.float32)
