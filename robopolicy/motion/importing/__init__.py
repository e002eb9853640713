"""What all layouts of foreign files have in common.

``arrays`` gets them out of a file (``unpickle`` without running anything that it holds); ``recording`` is what the file
says before it is a clip, and settles units, joint order and rate (``quat_order`` that of quaternions).
"""
