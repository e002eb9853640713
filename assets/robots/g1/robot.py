"""Unitree G1 with 29 joints. See SOURCE.md."""

from robopolicy.robot import Robot, Servo

HIP = Servo(".*_hip_(pitch|yaw)_joint", kp=200, kd=6, torque=88, velocity=32, armature=0.01018, action_scale=0.4)
HIP_ROLL = Servo(".*_hip_roll_joint", kp=200, kd=6, torque=139, velocity=20, armature=0.0251, action_scale=0.3)
KNEE = Servo(".*_knee_joint", kp=250, kd=8, torque=139, velocity=20, armature=0.0251, action_scale=0.5)
ANKLE = Servo(".*_ankle_(pitch|roll)_joint", kp=250, kd=3, torque=50, velocity=37, armature=0.00722, action_scale=0.3)
WAIST_YAW = Servo("waist_yaw_joint", kp=150, kd=5, torque=88, velocity=32, armature=0.01018, action_scale=0.3)
WAIST = Servo("waist_(roll|pitch)_joint", kp=150, kd=5, torque=50, velocity=37, armature=0.00722, action_scale=0.3)
ARM = Servo(".*_(shoulder_.*|elbow|wrist_roll)_joint", kp=40, kd=1.5, torque=25, velocity=37, armature=0.00361)
WRIST = Servo(".*_wrist_(pitch|yaw)_joint", kp=16.8, kd=1.07, torque=5, velocity=22, armature=0.00425)

ROBOT = Robot(
    name="g1",
    mjcf="g1.xml",
    servos=(HIP, HIP_ROLL, KNEE, ANKLE, WAIST_YAW, WAIST, ARM, WRIST),
    feet=("l_foot", "r_foot"),
)
