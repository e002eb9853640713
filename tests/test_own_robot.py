"""What a person with a robot of their own runs into: where its file is looked for, and how many feet it has."""

from pathlib import Path

import pytest
from small_envs import quiet

from robopolicy import train_cli
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.task import Task, load_task
from robopolicy.terms import rewards

ROBOT = "from robopolicy.robot import Robot\nROBOT = Robot(name='mine', mjcf='mine.xml')\n"
TASK = """
from dataclasses import replace
from robopolicy.task import load_task
def task():
    return replace(load_task("go2_velocity"), robot="robots/mine.py")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a task file, and the robot's below it."""
    (tmp_path / "robots").mkdir()
    (tmp_path / "robots" / "mine.py").write_text(ROBOT)
    (tmp_path / "mine_walk.py").write_text(TASK)
    return tmp_path


def trained(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task that a command line would train."""
    found: list[Task] = []
    monkeypatch.setattr(train_cli, "train", lambda task, *_: found.append(task))
    assert train_cli.run(argv) == 0
    return found[0]


def test_a_robot_beside_its_task_file_is_found_from_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/")
    wanted = str(home / "robots" / "mine.py")
    assert load_task(str(home / "mine_walk.py")).robot == wanted
    assert trained([str(home / "mine_walk.py")], monkeypatch).robot == wanted


def test_a_run_remembers_where_the_robot_of_a_flag_lies(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home / "robots")
    assert trained(["go2_velocity", "--robot", "mine.py"], monkeypatch).robot == str(home / "robots" / "mine.py")


def test_a_robot_by_name_stays_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert trained(["go2_velocity", "--robot", "go2"], monkeypatch).robot == "go2"


@pytest.mark.parametrize("clock", [rewards.foot_clock, rewards.contact_clock])
def test_a_clock_for_another_number_of_feet_is_a_mistake_that_names_them(clock):
    state = Env(quiet("droid_walk"), num_envs=4, threads=1).snapshot()
    assert clock(state, offsets=(0.0, 0.5)).shape == (4,)
    with pytest.raises(UserError, match=r"4 offsets .*'droid' 2 feet: l_foot, r_foot"):
        clock(state, offsets=(0.0, 0.5, 0.5, 0.0))
