"""The droid: a bipedal character with a neck. See SOURCE.md."""

from robopolicy.robot import Robot, Servo

ROBOT = Robot(
    name="droid",
    mjcf="droid.xml",
    servos=(
        Servo(
            "[lr]_hip_roll",
            kp=120,
            kd=3.2,
            torque=34,
            velocity=20,
            armature=0.011,
            friction=0.3,
            action_scale=0.25,
        ),
        Servo(
            "[lr]_(hip_pitch|knee)",
            kp=120,
            kd=3.2,
            torque=34,
            velocity=20,
            armature=0.011,
            friction=0.3,
            action_scale=0.5,
        ),
        Servo(
            "[lr]_hip_yaw",
            kp=90,
            kd=2.4,
            torque=23.7,
            velocity=28.8,
            armature=0.0043,
            friction=0.15,
            action_scale=0.25,
        ),
        Servo(
            "[lr]_ankle",
            kp=90,
            kd=2.4,
            torque=23.7,
            velocity=28.8,
            armature=0.0043,
            friction=0.15,
            action_scale=0.5,
        ),
        Servo(
            "neck_.*|head_.*",
            kp=8,
            kd=0.4,
            torque=4.8,
            velocity=7,
            armature=0.0058,
            friction=0.05,
            action_scale=0.3,
        ),
    ),
    feet=("l_foot", "r_foot"),
)
