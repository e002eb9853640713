"""The warm start: the actor learns to imitate the clips before it learns by trial.

For every frame of the clips the actor sees what it would observe there and is taught the joint targets that lead to
the next frame. Seconds of this make a biped step from the first moment, where a prior alone lets it stand still.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.env.state import State
from robopolicy.learn.policy import RobotPolicy
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference, foot_positions
from robopolicy.terms import observations

_LEAD_S = 0.03  # a servo trails its target by about kd/kp seconds, so the target runs ahead by this much
_NOISE = 0.5
_BATCH = 1024
_LEARNING_RATE = 2e-3
_SEEN = 2e5  # how many samples the normalisers pretend to have seen, so that the first rollouts do not overturn them
_EXACT = (observations.command, observations.gait_phase)  # inputs that are known without error


def warm_start(policy: RobotPolicy, env: Env, reference: Reference, settings: Prior, seed: int = 0) -> float:
    """Teach the actor the clips, and set its normalisers and its exploration noise.

    Args:
        policy: Its actor is trained in place.
        env: Says how a state becomes an observation.
        reference: The clips' training half.
        settings: How many steps, and the noise to explore with afterwards.
        seed: Seed of everything random here.

    Returns:
        Mean square error of the last batch, in units of action.
    """
    generator = torch.Generator(env.device).manual_seed(seed)
    obs, actions, exact = clip_dataset(env, reference)
    policy.actor_normalizer.merge(obs["actor"].mean(0), obs["actor"].var(0).clamp(min=1e-3), int(_SEEN))
    policy.critic_normalizer.merge(obs["critic"].mean(0), obs["critic"].var(0).clamp(min=1e-3), int(_SEEN))
    inputs = policy.actor_normalizer(obs["actor"])
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=_LEARNING_RATE, fused=True)
    loss = torch.zeros((), device=env.device)
    for _ in range(settings.warm_start):
        rows = torch.randint(len(inputs), (_BATCH,), generator=generator, device=env.device)
        noise = _NOISE * torch.randn(_BATCH, inputs.shape[1], generator=generator, device=env.device)
        loss = (policy.actor(inputs[rows] + noise * ~exact) - actions[rows]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        policy.log_std.fill_(math.log(settings.warm_start_std))
    return float(loss.detach())


def clip_dataset(env: Env, reference: Reference) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What the actor would see in the clips' frames, and what it should do there.

    Returns:
        Observations ``actor`` (M, A) and ``critic`` (M, C); actions (M, J) that lead to the next frame; and which
        inputs of the actor are known without error (A,) bool.
    """
    reference = reference.to(env.device)
    lead = torch.cat((reference.qpos[1:, 7:] + _LEAD_S * reference.qvel[1:, 6:], reference.qpos[-1:, 7:]))
    actions = ((lead - env.default_pose) / env.action_scale).clamp(-env.action_clip, env.action_clip)
    previous = torch.cat((actions[:1], actions[:-1]))
    begins = torch.cat((torch.ones_like(reference.following[:1]), ~reference.following[:-1]))
    held = (reference.qpos[:, 7:] - env.default_pose) / env.action_scale
    state = _states(env, reference, torch.where(begins.unsqueeze(-1), held, previous))
    actor, exact = [], []
    for term in env.task.observations.values():
        value = term.scale * term.function(state, **term.params)
        past = [value]
        for _ in range(term.history - 1):
            shifted = torch.cat((past[0][:1], past[0][:-1]))
            past.insert(0, torch.where(begins.unsqueeze(-1), past[0], shifted))
        actor.append(torch.cat(past, dim=-1))
        exact.append(torch.full((actor[-1].shape[1],), term.function in _EXACT, device=env.device))
    critic = [*actor, *(t.scale * t.function(state, **t.params) for t in env.task.privileged.values())]
    if env.task.teacher:
        hidden = sum(part.shape[1] for part in critic[len(actor) :])
        actor, exact = critic, [*exact, torch.zeros(hidden, dtype=torch.bool, device=env.device)]
    keep = reference.following
    obs = {"actor": torch.cat(actor, dim=-1)[keep], "critic": torch.cat(critic, dim=-1)[keep]}
    return obs, actions[keep], torch.cat(exact)


def _states(env: Env, reference: Reference, action: Tensor) -> State:
    """The clips' frames as states of undisturbed robots."""
    count, device = len(reference.qpos), env.device
    feet, home = (
        torch.as_tensor(foot_positions(qpos, env.robot), dtype=torch.float32, device=device)
        for qpos in (reference.qpos.cpu().double().numpy(), env.robot.home_qpos[None])
    )
    weight = torch.linspace(0, 1, count)[torch.randperm(count, generator=torch.Generator().manual_seed(0))].to(device)
    # To imitate is right at any weight.
    command = env.channels.of_clips(reference, torch.arange(count, device=device), weight)
    rows = lambda x: x[:1].expand(count, *x.shape[1:])  # noqa: E731
    nominal = env.snapshot()
    return replace(
        nominal,
        qpos=reference.qpos,
        qvel=reference.qvel,
        foot_pos_w=feet,
        # The feet's centres stand this high in the home pose, where the soles touch the floor.
        foot_clearance=feet[..., 2] - home[..., 2],
        body_velocity=rows(nominal.body_velocity),
        tree_com_w=reference.qpos[:, :3],
        mean_velocity=reference.command,
        action=action,
        previous_action=action,
        target=env.default_pose + env.action_scale * action,
        order=env.default_pose + env.action_scale * action,
        command=command,
        phase=torch.nan_to_num(reference.phase),
        moving=env.task.gait.asked_by(command),
        age=torch.zeros(count, dtype=torch.long, device=device),
        kp=rows(nominal.kp),
        kd=rows(nominal.kd),
        torque_limit=rows(nominal.torque_limit),
        encoder_offset=torch.zeros_like(action),
        imu_rotation=rows(nominal.imu_rotation),
        gyro_bias=torch.zeros(count, 3, device=device),
        backlash=None,
        torque_range=None,
        late=None,
        ground=None,
    )
