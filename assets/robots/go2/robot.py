"""Unitree Go2. See SOURCE.md."""

from robopolicy.robot import Robot, Servo

ROBOT = Robot(
    name="go2",
    mjcf="go2.xml",
    servos=(
        Servo(".*_(hip|thigh)", kp=25, kd=0.5, torque=23.7, velocity=30.1, armature=0.01, friction=0.2),
        Servo(".*_calf", kp=25, kd=0.5, torque=35.55, velocity=20.07, armature=0.01, friction=0.2),
    ),
    feet=("FL_foot", "FR_foot", "RL_foot", "RR_foot"),
)
