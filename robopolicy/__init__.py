"""robopolicy trains robot controllers that do a task in the style of a few motion clips, and deploys them."""

__version__ = "0.1.0"
