"""The parts of the web page that need no browser: who may come in, time, robots that can be changed, clips beside."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from robopolicy_runtime.onnx_writer import write_policy
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.verify import Plant as PlainPlant

pytest.importorskip("mjviser", reason="the web page needs: pip install 'robopolicy[web]'")

from websockets.datastructures import Headers
from websockets.http11 import Request

import tests.export.synthetic as synthetic
from robopolicy import checkpoint
from robopolicy.cli import main
from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, find_clips
from robopolicy.motion.pose import heading
from robopolicy.view.performers import find_performer
from robopolicy.view.web.gate import Gate, is_loopback
from robopolicy.view.web.html import bar, box
from robopolicy.view.web.newest import Newest
from robopolicy.view.web.pace import Pace
from robopolicy.view.web.panel import Guard
from robopolicy.view.web.repertoire import Repertoire
from robopolicy.view.web.run_subject import RunSubject
from robopolicy.view.web.serve import find_subject
from robopolicy.view.web.subject import Plant, RecordedSubject

# ---- the gate


def ask(gate: Gate, path: str = "/", **headers: str) -> int:
    """Status of a request; 101 stands for the server's own answer."""
    request = Request(path, Headers([(name.replace("_", "-"), value) for name, value in headers.items()]))
    answer = gate.answer(None, request, lambda *_: None)  # type: ignore[arg-type]
    return 101 if answer is None else answer.status_code


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "127.0.0.1:9000"])
def test_loopback_knows_itself_and_its_own_pages(host):
    gate = Gate("127.0.0.1")
    assert gate.token is None
    assert ask(gate, Host=host) == ask(gate, Host=host, Origin=f"http://{host}") == 101


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8080"},  # a name that was made to point here
        {"Host": "localhost:8080", "Origin": "http://evil.example"},
        {"Host": "localhost:8080", "Origin": "null"},
        {"Host": "localhost:8080", "Origin": "http://localhost:9999"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "[::1"},
        {},
    ],
)
def test_loopback_refuses_foreign_pages(headers):
    assert ask(Gate("127.0.0.1"), **headers) == 403


def test_elsewhere_the_token_opens_and_nothing_else():
    gate, other = Gate("0.0.0.0"), Gate("0.0.0.0")
    assert gate.token is not None
    assert len(gate.token) >= 32
    assert gate.token != other.token
    host = "robot.local:8080"
    for path in ("/", "/?token=", "/?token=wrong", f"/?token={gate.token}x", f"/?other={gate.token}"):
        assert ask(gate, path, Host=host) == 403
    request = Request(f"/?token={gate.token}", Headers(Host=host))
    answer = gate.answer(None, request, lambda *_: None)  # type: ignore[arg-type]
    assert answer is not None
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert ask(gate, Host=host, Cookie=f"a=b; {cookie}") == 101
    assert ask(gate, Host=host, Cookie=f"{cookie}x") == 403
    assert ask(other, Host=host, Cookie=cookie) == 403
    assert ask(gate, Host=host, Cookie=cookie, Origin="http://evil.example") == 403


def test_names_that_only_look_like_loopback():
    assert is_loopback("127.8.8.8")
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "localhost.evil.example", ""]))


# ---- time


def test_pace_is_real_time_whatever_the_loop_does():
    pace, rng = Pace(0.02), np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.001, 0.05, 2000))
    steps = [pace.due(t) for t in times]
    assert sum(steps) == pytest.approx((times[-1] - times[0]) / 0.02, abs=2)
    assert max(steps) <= 4


def test_pace_slow_paused_and_stepped():
    pace = Pace(0.02)
    pace.due(0.0)
    pace.speed = 0.25
    assert sum(pace.due(0.01 * k) for k in range(1, 101)) in (12, 13)
    pace.paused = True
    pace.ask_step()
    pace.ask_step()
    assert [pace.due(t) for t in (2.0, 3.0, 4.0)] == [2, 0, 0]
    pace.paused = False
    pace.rest()
    assert pace.due(100.0) == 0, "what nobody saw does not count"


def test_a_slow_machine_plays_slowly_and_owes_nothing():
    pace = Pace(0.02)
    assert [pace.due(t) for t in (0.0, 10.0)] == [0, 4]
    assert pace.due(10.02) <= 2


# ---- what goes wrong


def test_a_mistake_in_a_panel_is_told_once_and_survived(capsys):
    guard, done = Guard(), []
    for _ in range(3):
        assert guard.run("plots", lambda: 1 / 0) is None
    guard.later("push", lambda: done.append("a"))
    guard.later("push", lambda: [][0])
    guard.later("push", lambda: done.append("b"))
    guard.catch_up()
    assert done == ["a", "b"]
    assert guard.problems == {
        "plots": "ZeroDivisionError: division by zero",
        "push": "IndexError: list index out of range",
    }
    assert capsys.readouterr().err.count("plots: ZeroDivisionError") == 1


def test_html_is_escaped():
    text = bar("<script>", 0.5, 1.0, "reward") + box("", title='"><script>')
    assert "<script>" not in text
    assert 'data-title="&quot;&gt;&lt;script&gt;"' in text
    assert "left:50.0%;width:25.0%" in text
    assert "left:25.0%;width:25.0%" in bar("a", -0.5, 1.0, "reward")


# ---- an exported policy


@pytest.fixture(scope="module")
def onnx(tmp_path_factory) -> Path:
    policy, path = synthetic.weights(), tmp_path_factory.mktemp("web") / "toy.onnx"
    write_policy(
        path,
        mean=policy.mean,
        std=policy.std,
        clip=synthetic.NORMALISER_CLIP,
        layers=policy.layers,
        contract=synthetic.contract(),
        reference=synthetic.reference(policy),
        mjcf=synthetic.MJCF,
    )
    return path


def test_an_unchanged_plant_is_that_of_verify(onnx):
    file = PolicyFile.open(onnx)
    subject, plain = find_subject(onnx), PlainPlant(file.mjcf, file.contract)
    first = subject.start()
    plain.reset(*first)
    targets = np.array([0.2, -0.3])
    late = subject._late  # type: ignore[attr-defined]
    for _ in range(10):
        late.step(targets)
        plain.step(targets)
    np.testing.assert_array_equal(late.data.qpos, plain.data.qpos)


def test_latency_delays_a_target_by_so_many_physics_steps(onnx):
    subject = find_subject(onnx)
    subject.start()
    late = subject._late  # type: ignore[attr-defined]
    step, substeps = subject.step_latency, late.contract.physics.substeps
    subject.change(Plant(latency=3 * step))
    late.step(np.array([0.1, 0.1]))
    subject.change(Plant(latency=(substeps + 1) * step))
    late.step(np.array([0.3, 0.3]))
    np.testing.assert_array_equal(late.data.ctrl, [0.1, 0.1])
    late.step(np.array([0.3, 0.3]))
    np.testing.assert_array_equal(late.data.ctrl, [0.3, 0.3])


def test_load_and_friction_change_the_file_s_plant_and_come_back(onnx):
    subject = find_subject(onnx)
    model = subject._late.model  # type: ignore[attr-defined]
    before = [
        model.body_mass.copy(),
        model.body_inertia.copy(),
        model.geom_friction.copy(),
        model.body_subtreemass.copy(),
    ]
    subject.change(Plant(friction=0.5, mass=0.7))
    assert model.body_subtreemass[0] == pytest.approx(before[3][0] + 0.7)
    assert model.geom("floor").friction[0] == pytest.approx(0.5 * before[2][model.geom("floor").id, 0])
    subject.change(Plant())
    for now, then in zip((model.body_mass, model.body_inertia, model.geom_friction, model.body_subtreemass), before):
        np.testing.assert_allclose(now, then)


def test_a_push_changes_the_velocity_at_once(onnx):
    subject = find_subject(onnx)
    _, before = subject.start()
    subject.push(np.array([0.3, -0.2]))
    np.testing.assert_allclose(subject._late.data.qvel[:2] - before[:2], [0.3, -0.2])  # type: ignore[attr-defined]


# ---- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Trained for a second."""
    folder = tmp_path_factory.mktemp("web") / "run"
    tiny = ["--num-envs", "16", "--threads", "1", "--steps", "384", "--episode-s", "4", "--prior.warm-start", "10"]
    assert (
        main(["train", "droid_walk", *tiny, "--prior.clips", "walk_forward_0.30", "stand_idle", "--run", str(folder)])
        == 0
    )
    return folder


def roll(subject: RunSubject, steps: int = 25, plant: Plant | None = None) -> np.ndarray:
    """Where it gets to from its start."""
    subject.start()
    subject.change(plant or Plant())
    qpos = np.zeros(0)
    for _ in range(steps):
        qpos, _, _ = subject.step(np.array([0.3, 0.0, 0.0, 1.0]))
    return qpos


def test_a_run_shows_what_it_is_made_of(run):
    subject = RunSubject(run)
    roll(subject)
    for _ in range(100):
        subject.step(np.array([0.3, 0.0, 0.0, 1.0]))
        if subject.newest._reader is not None:
            subject.newest._reader.join()
    look = subject.look()
    env = subject._env
    assert look.torque is not None
    assert look.target is not None
    raw = env.kp[0].numpy() * (look.target - env.qpos[0, 7:].numpy()) - env.kd[0].numpy() * env.qvel[0, 6:].numpy()
    limit = env.torque_limit[0].numpy()
    np.testing.assert_allclose(look.torque, np.clip(raw, -limit, limit), atol=1e-3)
    assert set(look.rewards) == set(env.task.rewards)
    with torch.inference_mode():
        told = torch.tensor([[0.3, 0.0, 0.0, 1.0]])
        step = env.step(subject._act(env.hold_command(told)["actor"]))
    total = sum(subject.look().rewards.values()) * env.control_dt
    assert total == pytest.approx(float(step.reward[0]), abs=1e-6)
    assert look.style is not None
    assert 0 <= look.style <= 1
    assert "384 steps" in look.notes[0]


def test_the_plant_of_a_run_changes_while_it_moves(run):
    subject = RunSubject(run)
    model, body = subject._env.robot.mj, subject._env.robot.base_body
    plain = roll(subject)
    np.testing.assert_array_equal(roll(subject), plain)
    for plant in (Plant(friction=0.1), Plant(mass=2.0), Plant(latency=0.03)):
        assert np.abs(roll(subject, plant=plant) - plain).max() > 1e-6, plant
    fields = subject._fields
    subject.change(Plant(friction=0.5, mass=1.0, latency=0.02))
    floor = model.geom("floor").id
    assert float(fields["geom_friction"][0, floor, 0]) == pytest.approx(0.5 * model.geom_friction[floor, 0])
    assert float(fields["body_mass"][0, body]) == pytest.approx(model.body_mass[body] + 1.0)
    assert np.ceil(float(fields["actuator_delay"][0, 0]) / model.opt.timestep) == 4
    np.testing.assert_array_equal(roll(subject), plain)


def test_robots_of_a_run_differ_and_are_changed_from_what_each_is(run):
    subject = RunSubject(run, 3)
    subject.start()
    body = subject._env.robot.base_body
    before = subject._fields["body_mass"][:, body].clone()
    assert len(set(before.tolist())) == 3
    subject.change(Plant(mass=1.5))
    np.testing.assert_allclose(subject._fields["body_mass"][:, body], before + 1.5)
    subject.start()  # drawn anew, and changed again
    drawn = subject._drawn["body_mass"][:, body]
    assert (drawn != before).all()
    np.testing.assert_allclose(subject._fields["body_mass"][:, body], drawn + 1.5)
    subject.chosen = 2
    qpos, _, _ = subject.step(np.array([0.3, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(qpos, subject.everyone()[2])
    before_push = subject._env.qvel.clone()
    subject.push(np.array([0.5, 0.0]))
    assert (subject._env.qvel - before_push).abs().sum(1).tolist() == pytest.approx([0, 0, 0.5])


def test_a_newer_checkpoint_is_taken_up_and_a_broken_one_is_not(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    newest = Newest(copy)

    def look():
        newest._looked = -1e9
        found = newest.take()
        if newest._reader is not None:
            newest._reader.join()
        return found or newest.take()

    first = look()
    assert first is not None
    assert look() is None, "nothing was saved"
    saved = checkpoint.load(copy)
    saved.state["learner"]["policy"]["actor.0.bias"] += 1.0
    checkpoint.save(copy, saved.state, saved.sidecar | {"steps": 768})
    second = look()
    assert second is not None
    assert "768 steps" in newest.note
    seen = torch.zeros(1, saved.sidecar["actor_dim"])
    assert not torch.equal(first.act(seen), second.act(seen))
    (copy / "checkpoint.pt").write_bytes(b"half")
    os.utime(copy / "checkpoint.pt")
    assert look() is None
    assert "cannot be read" in newest.note


# ---- clips


@pytest.fixture(scope="module")
def clips() -> Repertoire:
    return Repertoire("droid", {"calm": ("walk_*", "stand_idle"), "jaunty": ("jaunty_*",)})


def test_the_nearest_clip_is_of_the_style_that_is_asked_for(clips):
    velocity = np.array([0.31, 0.0, 0.0, 1.0])
    assert clips.nearest(velocity, "calm") == "walk_forward_0.30"
    assert clips.nearest(velocity, "jaunty") == "jaunty_forward_0.30"
    assert clips.nearest(np.zeros(3), "calm") in ("stand_idle", "walk_in_place")
    assert Repertoire("nobody").nearest(velocity) is None


def test_emotes_stay_where_they_are():
    emotes = Repertoire("droid").emotes
    assert {"happy_nod", "sad_slump", "look_around", "stand_idle"} <= set(emotes)
    assert not any("forward" in name or "turn" in name for name in emotes)


def test_the_ghost_stands_beside_and_faces_as_the_robot_does(clips):
    robot = np.zeros(7 + 14)
    robot[:3], robot[3], robot[6] = [3.0, 4.0, 0.3], np.cos(np.pi / 4), np.sin(np.pi / 4)  # faces +y
    ghost = clips.beside("walk_forward_0.30", 12.34, robot, np.array([0.5, -0.2]))
    np.testing.assert_allclose(ghost[:2], [3.5, 3.8], atol=1e-9)
    assert heading(ghost[3:7]) == pytest.approx(np.pi / 2)
    clip = clips.clips["walk_forward_0.30"]
    np.testing.assert_allclose(ghost[7:], clip.sample(np.array([12.34]))[0][0][7:])
    assert ghost[2] == pytest.approx(clip.sample(np.array([12.34]))[0][0][2])


def test_an_emote_is_played_once_and_gives_way():
    subject = RecordedSubject(find_performer(Path("stand_idle"), "droid"))
    subject.start()
    subject.perform("happy_nod", once=True)
    nod = find_performer(Path("happy_nod"), "droid")
    nod.start()
    for _ in range(int(Clip.load(find_clips("droid", "happy_nod")[0]).duration / 0.02) - 1):
        qpos, _, fell = subject.step(np.zeros(0))
        np.testing.assert_array_equal(qpos, nod.step(np.zeros(0))[0])
        assert not fell
    ends = [subject.step(np.zeros(0))[2] for _ in range(3)]
    assert any(ends)
    assert subject.look().notes == ()


def test_only_a_run_has_several_robots(onnx):
    for target, robots in ((onnx, 2), (onnx, 0)):
        with pytest.raises(UserError, match="only a run has several robots"):
            find_subject(target, None, robots)


def test_without_a_screen_play_opens_the_page(monkeypatch):
    from robopolicy.view import play
    from robopolicy.view.web import serve

    opened = []
    monkeypatch.setattr(play, "no_window", lambda: "there is no screen here")
    monkeypatch.setattr(serve, "serve", lambda *arguments: opened.append(arguments))
    assert main(["play", "happy_nod", "--robot", "droid"]) == 0
    assert main(["play", "happy_nod", "--robot", "droid", "--host", "0.0.0.0", "--port", "9000", "--robots", "2"]) == 0
    nod = Path("happy_nod")
    assert opened == [(nod, None, "droid", "127.0.0.1", 8080, 1), (nod, None, "droid", "0.0.0.0", 9000, 2)]
