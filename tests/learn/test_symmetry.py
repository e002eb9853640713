"""Left and right: the mirror of what is seen and done, against robots that are really mirrored in MuJoCo."""

from dataclasses import replace

import pytest
import torch
from small_envs import compiled, quiet

from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.policy import load_policy
from robopolicy.learn.ppo import PPO
from robopolicy.learn.symmetry import Symmetry
from robopolicy.motion.mirror import Mirror
from robopolicy.task import Task, observe
from robopolicy.terms import observations

CPU = torch.device("cpu")


def mirrored_command(names: list[str], command: torch.Tensor) -> torch.Tensor:
    flips = {"vy", "wz", "roll", "head_yaw", "head_roll"}
    return command * torch.tensor([-1.0 if name in flips else 1.0 for name in names])


@pytest.mark.parametrize("name", ["droid_walk", "go2_velocity", "droid_stand"])
def test_a_mirrored_robot_sees_what_the_mirror_shows(name: str):
    """Two robots in mirrored states that do mirrored things, step by step."""
    history = replace(observe(observations.joint_velocity, scale=0.05), history=3)
    task = quiet(name)
    task = replace(task, observations=task.observations | {"more": history}, terminations={})
    env, robot = Env(task, 2, seed=3), compiled(task.robot)
    env.reset(stagger=False)
    symmetry, mirror = Symmetry(task, robot, CPU), Mirror(robot)
    told = env.channels.tell(torch.as_tensor([[0.2, 0.1, -0.3, 0.1, 0.2, 0.15][: len(task.command.ranges)]]))
    command = torch.cat((told, mirrored_command(env.channels.names, told)))
    env.qpos[0, 7:] += 0.1 * torch.randn(len(robot.joint_names), generator=torch.Generator().manual_seed(0))
    env.qvel[0] = 0.3 * torch.randn(robot.mj.nv, generator=torch.Generator().manual_seed(1))
    env.qpos[0, 2] += 0.3  # in the air, where contacts do not magnify rounding
    env.qpos[1] = torch.as_tensor(mirror.qpos(env.qpos[0].numpy()))
    env.qvel[1] = torch.as_tensor(mirror.qvel(env.qvel[0].numpy()))
    env.phase[1] = (env.phase[0] + 0.5) % 1
    env.sim.forward(torch.ones(2, dtype=torch.bool))
    env.hold_command(command)
    generator = torch.Generator().manual_seed(2)
    for _ in range(6):
        action = torch.randn(1, env.num_actions, generator=generator)
        seen = env.step(torch.cat((action, action @ symmetry.done))).obs["actor"]
        torch.testing.assert_close(seen[1], seen[0] @ symmetry.seen, atol=2e-3, rtol=1e-3)
    assert (seen[1] - seen[0]).abs().max() > 0.1


def test_the_loss_is_zero_for_a_symmetric_actor_and_the_square_of_the_difference_else():
    task = quiet("droid_walk")
    env = Env(task, 4)
    symmetry = Symmetry(task, compiled("droid"), CPU)
    sizes = {"actor_dim": env.actor_dim, "critic_dim": env.critic_dim, "num_actions": env.num_actions}
    policy = load_policy(PPOConfig(), sizes, weights_of(env))
    raw = torch.randn(500, env.actor_dim, generator=torch.Generator().manual_seed(0))
    policy.actor_normalizer.update(raw + 0.3)
    seen = policy.actor_normalizer(raw)
    other = policy.actor_mean(raw @ symmetry.seen)
    by_hand = ((other - policy.actor(seen) @ symmetry.done) ** 2).mean()
    torch.testing.assert_close(symmetry.loss(policy, seen, policy.actor(seen)), by_hand, rtol=1e-3, atol=1e-6)
    assert by_hand > 1e-3

    class Even(torch.nn.Module):
        """The mean of an actor and its mirror image."""

        def __init__(self, actor: torch.nn.Module):
            super().__init__()
            self.actor = actor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n = policy.actor_normalizer
            width = n.var.sqrt() + n.epsilon
            return self.actor(x) + self.actor(n((x * width + n.mean) @ symmetry.seen)) @ symmetry.done

    policy.actor = Even(policy.actor)  # type: ignore[assignment]
    assert symmetry.loss(policy, seen, policy.actor(seen)) < 1e-6


def weights_of(env: Env) -> dict:
    torch.manual_seed(0)
    policy = PPO(env=env, config=PPOConfig(horizon=8)).policy
    last = policy.actor[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight)
    return policy.state_dict()


def test_learning_with_it_makes_the_actor_more_symmetric():
    losses = {}
    for coef in (0.0, 5.0):
        task = quiet("droid_walk", ppo=PPOConfig(horizon=8, symmetry_coef=coef, epochs=4, minibatches=2))
        env = Env(task, 32, seed=0)
        symmetry = Symmetry(task, compiled("droid"), CPU)
        model = PPO(env=env, config=task.ppo, symmetry=symmetry, seed=0)
        last = model.policy.actor[-1]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=0.1)
        model.learn(32 * 8 * 6)
        seen = model.rollout_buffer.samples.actor.flatten(0, 1)
        with torch.no_grad():
            losses[coef] = float(symmetry.loss(model.policy, seen, model.policy.actor(seen)))
    assert losses[5.0] < 0.5 * losses[0.0]


def test_without_symmetry_there_is_none_to_learn():
    task = quiet("droid_walk")

    def lopsided() -> Task:
        ranges = task.command.ranges | {"lean_sideways": (-1.0, 1.0)}
        return replace(task, command=replace(task.command, ranges=ranges))

    with pytest.raises(UserError, match="'lean_sideways' keeps its sign"):
        Symmetry(lopsided(), compiled("droid"), CPU)
    robot = compiled("droid")
    pose = robot.default_pose.copy()
    pose[robot.joint_names.index("l_knee")] += 0.1
    with pytest.raises(UserError, match="default pose of robot 'droid' differs at"):
        Symmetry(task, replace(robot, default_pose=pose), CPU)


def test_the_clock_of_a_gait_whose_sides_step_together_is_the_same_in_the_mirror():
    task = quiet("go2_velocity")
    part = sum(
        term.function(Env(task, 1).snapshot(), **term.params).shape[1] * term.history
        for name, term in list(task.observations.items())[: list(task.observations).index("gait_phase")]
    )

    def clock(offsets: tuple[float, ...]) -> torch.Tensor:
        rewards = {
            n: replace(r, params=r.params | {"offsets": offsets})
            for n, r in task.rewards.items()
            if "offsets" in r.params
        }
        assert rewards
        changed = replace(task, rewards=task.rewards | rewards)
        return Symmetry(changed, compiled("go2"), CPU).seen[part : part + 2, part : part + 2]

    assert torch.equal(clock((0.0, 0.5, 0.5, 0.0)), -torch.eye(2))  # trot
    assert torch.equal(clock((0.0, 0.0, 0.5, 0.5)), torch.eye(2))  # bound
    with pytest.raises(UserError, match="neither together nor half a cycle"):
        clock((0.0, 0.25, 0.5, 0.75))


def test_offsets_of_another_robot_are_refused_by_name():
    task = quiet("droid_walk")
    clock = replace(task.rewards["clock"], params={"offsets": (0.0, 0.5, 0.5, 0.0)})
    with pytest.raises(UserError, match="rewards.clock has 4 offsets, robot 'droid' 2 feet"):
        Symmetry(replace(task, rewards=task.rewards | {"clock": clock}), compiled("droid"), CPU)


def test_a_teacher_is_refused():
    task = quiet("droid_walk", teacher=True)
    with pytest.raises(UserError, match="a teacher sees what is privileged"):
        Symmetry(task, compiled("droid"), CPU)
