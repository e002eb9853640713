"""The MuJoCo Menagerie's Spot in outline, for machines that do not have it: names, masses, lengths and ranges are its
own, its shapes are boxes, capsules and balls."""

LEG = """
<body name="{leg}_hip" pos="{x} {y} 0">
  <inertial pos="0 {out} 0" mass="1.68" diaginertia=".0023 .0021 .0018"/>
  <joint name="{leg}_hx" axis="1 0 0" range="-.785 .785"/>
  <body name="{leg}_uleg" pos="0 {side} 0">
    <inertial pos=".005 0 -.121" mass="2.34" diaginertia=".0276 .0274 .0028"/>
    <joint name="{leg}_hy" axis="0 1 0" range="-.899 2.244"/>
    <geom type="capsule" fromto="0 0 -.05 .025 0 -.28" size=".04"/>
    <body name="{leg}_lleg" pos=".025 0 -.32">
      <inertial pos=".002 0 -.18" mass=".35" diaginertia=".00015 .004 .004"/>
      <joint name="{leg}_kn" axis="0 1 0" range="-2.793 -.255"/>
      <geom type="capsule" fromto="0 0 -.05 0 0 -.28" size=".02"/>
      <geom type="sphere" size=".036" pos="0 0 -.3365" priority="1" condim="6" friction=".8 .02 .01"/>
    </body>
  </body>
</body>"""


def spot_mjcf() -> str:
    """The model as text. Like the Menagerie's it has no sites, but a keyframe ``home`` and a ball at each lower leg."""
    corners = {"fl": (0.298, 1), "fr": (0.298, -1), "hl": (-0.298, 1), "hr": (-0.298, -1)}
    legs = "".join(
        LEG.format(leg=leg, x=x, y=0.055 * s, out=0.0128 * s, side=0.1108 * s) for leg, (x, s) in corners.items()
    )
    apart = "".join(f'<exclude body1="body" body2="{leg}_uleg"/>' for leg in corners)
    motors = "".join(f'<position joint="{leg}_{j}" kp="500"/>' for leg in corners for j in ("hx", "hy", "kn"))
    return f"""<mujoco model="spot"><compiler angle="radian"/>
<worldbody><body name="body" pos="0 0 .75"><freejoint/>
<inertial pos=".006 0 .001" mass="32.86" diaginertia=".2 1.5 1.5"/><geom type="box" size=".4 .1 .08"/>{legs}
</body></worldbody><contact>{apart}</contact><actuator>{motors}</actuator>
<keyframe><key name="home" qpos="0 0 .46 1 0 0 0{" 0 1.04 -1.8" * 4}"/></keyframe></mujoco>"""
