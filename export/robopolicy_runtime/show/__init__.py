"""Shows: animations and an operator on top of several policies, of which one drives. See docs/show.md."""

from robopolicy_runtime.show.file import ShowFile
from robopolicy_runtime.show.show import Show

__all__ = ["Show", "ShowFile"]
