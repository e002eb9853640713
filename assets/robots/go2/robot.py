"""Unitree Go2. See SOURCE.md."""

from robopolicy.robot import Robot, Servo

ROBOT = Robot(
    name="go2",
    mjcf="go2.xml",
    servos=(
        Servo(
            ".*_hip",
            kp=35,
            kd=0.8,
            torque=23.7,
            velocity=30.1,
            armature=0.01,
            friction=0.2,
            action_scale=0.25,
        ),
        Servo(
            ".*_thigh",
            kp=35,
            kd=0.8,
            torque=23.7,
            velocity=30.1,
            armature=0.01,
            friction=0.2,
            action_scale=0.4,
        ),
        Servo(
            ".*_calf",
            kp=35,
            kd=0.8,
            torque=35.55,
            velocity=20.07,
            armature=0.01,
            friction=0.2,
            action_scale=0.5,
        ),
    ),
    feet=("FL_foot", "FR_foot", "RL_foot", "RR_foot"),
)
