"""What is drawn: a robot with a sky, a floor and a sun."""

import mujoco
import numpy as np


def stage(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile a robot together with a sky, a checkered floor and a sun.

    Args:
        spec: The robot; it is not changed. A plane it has becomes the checkered floor, else one is added.

    Returns:
        A model with the robot's own state layout, for pictures only.
    """
    spec = spec.copy()
    builtin, role = mujoco.mjtBuiltin, mujoco.mjtTextureRole.mjTEXROLE_RGB
    spec.add_texture(
        name="stage_sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=builtin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.97], rgb2=[0.52, 0.64, 0.78], width=256, height=1536,
    )  # fmt: skip
    spec.add_texture(
        name="stage_floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_CHECKER,
        rgb1=[0.80, 0.82, 0.84], rgb2=[0.72, 0.745, 0.77], width=512, height=512,
    )  # fmt: skip
    material = spec.add_material(name="stage_floor", texrepeat=[2, 2], texuniform=True, reflectance=0.08)
    material.textures[role] = "stage_floor"
    planes = [g for g in spec.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE]
    floor = planes[0] if planes else spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE)
    floor.size, floor.material, floor.rgba, floor.group = [0, 0, 0.05], "stage_floor", [1, 1, 1, 1], 0
    for geom in spec.geoms:
        # Nothing collides in a picture; and rays miss shapes beside a colliding one on the same body.
        geom.contype = geom.conaffinity = 0
    for light in list(spec.lights):
        spec.delete(light)
    sun = spec.worldbody.add_light(
        pos=[1.5, 1.5, 4], dir=[-0.35, -0.3, -1], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    )
    sun.diffuse, sun.specular, sun.ambient, sun.castshadow = [0.55] * 3, [0.15] * 3, [0.12] * 3, True
    sun.mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.38] * 3, [0.22] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.visual.map.shadowclip = 3.0  # wide enough that its border does not speckle the floor
    spec.visual.rgba.haze = [0.93, 0.95, 0.97, 1]
    return spec.compile()


def shown_groups(model: mujoco.MjModel) -> np.ndarray:
    """Which geom groups to draw. By convention 3 is for collision; without meshes it is part of the shape."""
    return np.array([1, 1, 1, model.nmesh == 0, 0, 0], dtype=np.uint8)
