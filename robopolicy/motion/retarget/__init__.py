"""From a body to a robot: a person's skeleton, a dog's points or another robot's clip.

The way through the modules: ``skeleton`` is what a file says, joints over time (``characters`` are those whose files
do not have the skeleton with them); ``roles`` finds the knee and the head among its names; ``anatomy`` makes
``landmarks`` of it, ``robot_body`` of a robot's clip; ``solve`` moves the robot so that its own are there.
"""
