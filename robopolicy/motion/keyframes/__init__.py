"""Clips from keyframes: a text file that a person edits, compiled with splines and inverse kinematics.

``docs/keyframes.md`` explains every word of the file. The way through the modules: ``parse`` reads and checks
it, ``script`` is what it says, ``mirrored`` writes out copies and mirror images, ``spline`` runs through the
keys, ``contacts`` moves the feet from place to place, ``flight`` gives the body to gravity while they are off
the ground, ``targets`` aims the head, and ``compile`` puts it all together.
"""

from robopolicy.motion.keyframes.compile import compile_keyframes

__all__ = ["compile_keyframes"]
