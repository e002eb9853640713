"""Verdict and warnings: each appears with its cause, and not without it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robopolicy_runtime.transfer.intervals import wilson
from small_envs import shipped

from robopolicy import checkpoint
from robopolicy.env.adr import Adr
from robopolicy.env.terrain import Terrain
from robopolicy.evaluate import Evaluation
from robopolicy.report.background import randomness
from robopolicy.report.findings import findings, last_fifth, verdict
from robopolicy.report.grid import Cell, Plane
from robopolicy.report.judge import Judged, still_style
from robopolicy.report.subject import Subject
from robopolicy.report.walk import Footfalls
from robopolicy.task import Push, Task, load_task

GOOD = Evaluation(0.06, 0.1, 0.98, 20.0, None, 64, 100.0, 10.0)


def judged(subject: dict[str, Any] | None = None, **changes: Any) -> Judged:
    s = Subject("one", Path("nowhere"), task=shipped("droid_walk"), **(subject or {}))
    measured = {"evaluation": GOOD, "still_mps": 0.2, "copy_distance": 2.0, "still_distance": 66.0}
    return Judged(s, **(measured | changes))


def replace_task(found: Judged, task: Task | str) -> Judged:
    found.subject.task = load_task(task) if isinstance(task, str) else task
    return found


def said(**given: Any) -> str:
    return "\n".join(f"{f.level}: {f.text}" for f in findings(judged(**given)))


def test_a_good_policy_has_a_good_verdict_and_no_warnings():
    found = verdict(judged())
    assert found.level == "good"
    assert found.text == "Sure on its feet, follows its commands, moves in the style of its clips."
    assert said() == ""


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"survival": 0.9}, "note", "Falls at times"),
        ({"survival": 0.5}, "bad", "Falls often"),
        ({"velocity_rmse_mps": 0.1}, "note", "loosely"),
        ({"velocity_rmse_mps": 0.19}, "bad", "hardly follows them"),
        ({"style_distance": 80.0}, "bad", "does not move in the style"),
    ],
)
def test_the_worst_figure_decides(changes: dict[str, float], level: str, words: str):
    found = verdict(judged(evaluation=replace(GOOD, **changes)))
    assert found.level == level
    assert words in found.text


def test_without_an_evaluation_there_is_no_verdict():
    assert "Not evaluated" in verdict(judged(evaluation=None)).text


def test_what_the_policy_does_wrong_is_named():
    assert "bad: Falls in 12%" in said(evaluation=replace(GOOD, survival=0.88))
    assert "bad: The velocity error is near that of standing still, 0.2" in said(
        evaluation=replace(GOOD, velocity_rmse_mps=0.18)
    )
    assert "bad: Style not learned" in said(evaluation=replace(GOOD, style_distance=70.0))
    stands = Footfalls(
        "backward", np.array([-0.2, 0, 0]), np.ones((9, 2), bool), 0.02, 0.0, np.ones(2), np.ones(2), False
    )
    assert "note: Does not step when told: backward" in said(footfalls=[stands])
    assert said(footfalls=[replace(stands, command=np.zeros(3))]) == ""
    assert "bad: Falls undisturbed" in said(footfalls=[replace(stands, fell=True)])
    cells = tuple(Cell(np.array([x, 0, 0]), e, None, wilson(n, 8)) for x, e, n in ((0, 0.05, 8), (0.4, 0.3, 2)))
    text = said(planes=[Plane("vx", "wz", (0.0, 0.4), (0.0,), (cells,))])
    assert "Falls often at 1 of 2 commands" in text
    assert "Follows worst at vx 0.4: 0.30 m/s off" in text


def test_a_robot_that_is_told_a_posture_need_not_step():
    down = np.ones((9, 2), bool)
    stands = Footfalls("pitch up", np.array([0.0, 0.2, 0.0]), down, 0.02, 0.0, np.ones(2), np.ones(2), False)
    found = findings(replace_task(judged(footfalls=[stands]), "droid_stand"))
    assert not any("Does not step" in f.text for f in found)
    assert "Does not step when told: pitch up" in said(footfalls=[stands])


def test_bounds_of_the_beginning_say_nothing_about_a_run_that_was_resumed():
    trained = {"steps": 900, "seconds": 50.0}
    for options, words in (({"steps": 1000}, "Stopped after 900"), ({"seconds": 600.0}, "Stopped after 50")):
        run = {"config": {"options": options}, "trained": trained}
        assert words in said(subject=run)
        assert "Stopped" not in said(subject=run | {"starts": 2})


def test_all_that_differs_from_robot_to_robot_is_told():
    task = shipped("droid_rough")
    page = randomness(replace_task(judged(), task))
    assert f"up to {task.push.force:g} N for" in page
    assert "slope" in page
    assert "widened as the policy coped" in page
    plain = replace(task, randomizers={}, push=Push(force=30.0), terrain=Terrain(), adr=Adr())
    assert "up to 30 N" in randomness(replace_task(judged(), plain))


def test_what_went_wrong_while_learning_is_named():
    ramp = np.linspace(1, 0, 100)
    fine = {
        "prior/saturated": np.zeros(100),
        "prior/accuracy": np.full(100, 0.99),
        "env/velocity_error": ramp * 0 + 0.1,
    }
    fine |= {"prior/style_reward": np.full(100, 0.4), "env/diverged": np.zeros(100)}
    assert said(subject={"progress": fine}) == ""
    late = np.where(np.arange(100) > 85, 1.0, 0.0)
    assert "bad: The discriminator was saturated" in said(subject={"progress": fine | {"prior/saturated": late}})
    early = np.where(np.arange(100) < 60, 1.0, 0.0)
    assert said(subject={"progress": fine | {"prior/saturated": early}}) == ""
    little = fine | {"prior/style_reward": np.full(100, 0.1)}
    assert "right 99% of the time" in said(subject={"progress": little})
    assert "physics became unstable" in said(subject={"progress": fine | {"env/diverged": late}})
    assert "still falling" in said(subject={"progress": fine | {"env/velocity_error": ramp}})


def test_what_is_odd_about_the_run_is_named():
    trained = {"steps": 900, "seconds": 50.0, "seed": 0}
    assert "Stopped after 900 of 1,000 steps" in said(
        subject={"trained": trained, "config": {"options": {"steps": 1000, "seconds": None}}}
    )
    assert "Stopped after 50 of 600 s" in said(
        subject={"trained": trained, "config": {"options": {"steps": None, "seconds": 600.0}}}
    )
    assert said(subject={"trained": trained, "config": {"options": {"steps": 900, "seconds": None}}}) == ""
    assert "Resumed 2 times" in said(subject={"starts": 3})
    now = checkpoint.versions()
    assert said(subject={"versions": now}) == ""
    text = said(subject={"versions": now | {"mujoco": "1.0"}})
    assert f"mujoco 1.0 (here {now['mujoco']})" in text
    assert "numpy" not in text
    going = {"going_on": True, "trained": trained, "progress": {"env_steps": np.array([800.0, 950.0])}}
    assert "900 steps, the log 950" in said(subject=going)
    assert "no progress.csv" in said(subject={"missing": ["no progress.csv"]})


def test_the_last_fifth_leaves_gaps_out():
    values = np.array([9.0] * 8 + [1.0, np.nan])
    assert last_fifth(values) == 1.0
    assert last_fifth(np.full(5, np.nan)) is None
    assert last_fifth(None) is None


def test_standing_still_is_the_limit_of_the_distance_of_ever_smaller_motion():
    """Against the full formula on a cloud that shrinks to the home pose."""
    import torch

    from robopolicy.evaluate import style_features
    from robopolicy.motion.metrics import frechet_distance

    rng = np.random.default_rng(0)
    joints, count = 3, 400
    quat = np.concatenate((np.ones((count, 1)), 0.05 * rng.normal(size=(count, 3))), axis=1)
    qpos = np.concatenate((rng.normal(size=(count, 3)), quat / np.linalg.norm(quat, axis=1)[:, None]), axis=1)
    qpos = torch.as_tensor(np.concatenate((qpos, rng.normal(0.2, 0.3, size=(count, joints))), axis=1))
    reference = style_features(qpos, torch.as_tensor(rng.normal(size=(count, 6 + joints)))).numpy()
    home = np.array([0, 0, 0.3, 1, 0, 0, 0, 0.1, 0.0, -0.1])
    pose = style_features(torch.as_tensor(home)[None], torch.zeros(1, 9).double()).numpy()
    mean, std = reference.mean(0), np.maximum(reference.std(0), 1e-3)
    cloud = (pose - mean) / std + 1e-5 * rng.normal(size=(500, reference.shape[1]))
    expected = frechet_distance((reference - mean) / std, cloud)
    assert still_style(reference, home) == pytest.approx(expected, rel=1e-3)
