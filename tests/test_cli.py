"""The command line: quick to answer, one line per mistake, and a run that ends in files that fit together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from robopolicy import checkpoint
from robopolicy.cli import main
from robopolicy.errors import UserError
from robopolicy.motion.clip import load_clips
from robopolicy.sim.make import choose_device

HEAVY = {"torch", "mujoco", "numpy", "matplotlib", "onnx", "onnxruntime", "tyro", "stable_baselines3"}
TINY = ["--num-envs", "32", "--episode-s", "2", "--threads", "1", "--seed", "3", "--ppo.horizon", "24"]
STEPS = 1536  # two iterations of 32 robots x 24 steps


def train(folder: Path, *flags: str, steps: int = STEPS) -> Path:
    """A training of seconds."""
    assert main(["train", "go2_velocity", *TINY, "--steps", str(steps), "--run", str(folder), *flags]) == 0
    return folder


def policy(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a run's policy."""
    return checkpoint.load(folder).state["learner"]["policy"]


def assert_bit_equal(one: Path, other: Path) -> None:
    first, second = policy(one), policy(other)
    assert first.keys() == second.keys()
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """One trained run that the tests share; they change copies of it."""
    return train(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "run"))


@pytest.fixture
def mistake(capfd, monkeypatch, tmp_path):
    """Runs a command that must fail with one line; returns the line."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> str:
        capfd.readouterr()
        assert main(list(argv)) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert "Traceback" not in err
        assert len(err.splitlines()) == 1, err
        return err

    return run


# ---- quick answers


def imports_of(*argv: str) -> tuple[str, set[str], float]:
    """What a command prints, the top-level packages it imports, and how long it takes [s]."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "robopolicy.cli", *argv],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    modules = re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)
    return done.stdout, {name.partition(".")[0] for name in modules}, seconds


def test_help_is_quick():
    text, packages, seconds = imports_of("--help")
    print(f"--help: {seconds:.2f} s")
    for command in ("train", "play", "eval", "style", "export", "verify", "list", "bench", "clip"):
        assert re.search(rf"^ +{command}\b", text, re.MULTILINE)
    assert not packages & HEAVY
    assert seconds < 3.0  # 0.1 s on an idle machine


def test_list_is_quick_and_one_json_object():
    text, packages, seconds = imports_of("list", "--json")
    print(f"list: {seconds:.2f} s")
    found = json.loads(text)
    assert set(found) == {"tasks", "robots", "clips"}
    assert "style of its clips" in found["tasks"]["droid_walk"]
    assert found["robots"]["droid"].startswith("14 joints")
    assert re.match(r"\d+ clips: .*walk_\*", found["clips"]["droid"])
    assert not packages & {"torch", "stable_baselines3", "matplotlib"}
    assert seconds < 5.0  # 0.4 s on an idle machine


# ---- mistakes


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("frobnicate", ["frobnicate", "train", "bench"]),
        ("train nope", ["unknown task 'nope'", "droid_walk", "go2_velocity"]),
        ("train nope.py", ["no task file 'nope.py'"]),
        ("train --seed 3", ["the task comes first"]),
        ("train go2_velocity --robot nope", ["unknown robot 'nope'", "droid, g1, go2"]),
        ("train go2_velocity --prior.clips nope", ["unknown clip 'nope'", "trot_in_place"]),
        ("train go2_velocity --num-env 3", ["--num-env", "did you mean --num-envs?"]),
        ("train go2_velocity --ppo.horizon abc", ["--ppo.horizon", "abc"]),
        ("train go2_velocity --ppo.schedule abc", ["--ppo.schedule", "adaptive"]),
        ("train go2_velocity --steps -5", ["--steps -5"]),
        ("train go2_velocity --seconds 0", ["--seconds 0"]),
        ("train go2_velocity --device abacus", ["abacus", "cpu", "cuda", "warp-cpu"]),
        ("train go2_velocity --config", ["--config needs a path"]),
        ("train --config nowhere/config.json", ["nowhere/config.json"]),
        ("train --resume nowhere", ["no run folder nowhere"]),
        ("eval nowhere", ["no run folder nowhere"]),
        ("eval nowhere.onnx", ["nowhere.onnx"]),
        ("eval nowhere --bogus", ["--bogus"]),
        ("export nowhere --output x.onnx", ["no run folder nowhere"]),
        ("verify nowhere.onnx", ["nowhere.onnx", "No such file"]),
        ("play nowhere --video x.mp4", ["nowhere", "run folder", ".onnx", ".npz"]),
        ("play nope --robot droid --video x.mp4", ["unknown clip 'nope'", "happy_nod"]),
        ("play happy_nod --robot nope --video x.mp4", ["unknown robot 'nope'"]),
        ("play happy_nod --robot droid --video x.gif", ["x.gif", ".mp4"]),
        ("play happy_nod --robot droid --video x.mp4 --command 1", ["--command", "happy_nod"]),
        ("clip check nope --robot droid", ["unknown clip 'nope'"]),
        ("clip check happy_nod", ["--robot"]),
        ("bench nope", ["unknown task 'nope'"]),
        ("bench", ["a task", "--compare with --peer-python"]),
        ("bench go2_velocity --peer-python python3", ["--compare with --peer-python"]),
        ("bench go2_velocity --compare --peer-python python3", ["leave out 'go2_velocity'"]),
        ("bench --compare", ["--compare needs --peer-python", "pip install mjlab"]),
        ("bench --compare --peer-python nope/python", ["no interpreter 'nope/python'"]),
    ],
)
def test_a_mistake_is_one_line(mistake, argv, words):
    line = mistake(*argv.split())
    for word in words:
        assert word in line


def test_no_window_without_a_screen(mistake, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("only Linux runs without a screen")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("robopolicy.view.play.find_spec", lambda name: None)  # nor what a web page needs
    assert "--video" in mistake("play", "happy_nod", "--robot", "droid")
    assert "robopolicy[web]" in mistake("play", "happy_nod", "--robot", "droid", "--web")


def test_a_film_is_no_web_page(mistake):
    assert "--video" in mistake("play", "happy_nod", "--robot", "droid", "--web", "--video", "a.mp4")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_thing\n", ["line 1", "No module named 'no_such_thing'"]),
        ("def task():\n    x = 1\n    return x / 0\n", ["line 3", "ZeroDivisionError"]),
        ("def task(:\n", ["line 1", "SyntaxError"]),
        ("x = 1\n", ["no function task()"]),
    ],
)
def test_a_task_file_that_raises_is_named_with_its_line(mistake, tmp_path, source, words):
    (tmp_path / "mine.py").write_text(source)
    for path in ("mine.py", str(tmp_path / "mine.py")):
        line = mistake("train", path)
        assert path in line
        for word in words:
            assert word in line


def test_a_reward_that_raises_is_named_with_its_line(capfd, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from robopolicy.task import load_task, term\n"
        "def broken(state):\n"
        "    return state.nothing\n"
        "def task():\n"
        '    return replace(load_task("go2_velocity"), rewards={"broken": term(1.0, broken)})\n'
    )
    assert main(["train", str(file), *TINY, "--steps", "768", "--run", str(tmp_path / "run")]) == 2
    err = capfd.readouterr().err
    assert f"{file}, line 4 raised AttributeError" in err
    assert "Traceback" not in err


def test_a_half_written_run_says_what_is_missing(mistake, copy):
    (copy / "checkpoint.pt").write_bytes((copy / "checkpoint.pt").read_bytes()[:5000])
    assert "checkpoint.pt is damaged" in mistake("eval", str(copy))
    (copy / "checkpoint.pt").unlink()
    assert "has no checkpoint.pt" in mistake("train", "--resume", str(copy))
    assert "remove it" in mistake("train", "go2_velocity", *TINY, "--run", str(copy))
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text[: len(text) // 2])
    assert "config.json is damaged" in mistake("export", str(copy), "--output", "x.onnx")
    (copy / "task.py").unlink()
    assert "task.py is missing" in mistake("eval", str(copy))


def test_a_run_is_not_overwritten(mistake, copy):
    before = (copy / "checkpoint.pt").read_bytes()
    assert f"--resume {copy}" in mistake("train", "go2_velocity", *TINY, "--run", str(copy))
    assert (copy / "checkpoint.pt").read_bytes() == before


# ---- a run


def test_training_leaves_its_files(tiny):
    names = {path.name for path in tiny.iterdir()}
    assert names >= {
        "config.json",
        "task.py",
        "progress.csv",
        "curves.png",
        "checkpoint.pt",
        "checkpoint.json",
    }
    assert any(name.startswith("events.out.tfevents") for name in names)
    config = json.loads((tiny / "config.json").read_text())
    assert config["settings"]["num_envs"] == 32
    assert config["options"]["seed"] == 3
    assert json.loads((tiny / "checkpoint.json").read_text())["steps"] == STEPS
    assert len((tiny / "progress.csv").read_text().splitlines()) == 3  # names, and two iterations


def test_the_same_config_gives_the_same_bits(tiny, tmp_path):
    again = tmp_path / "again"
    assert main(["train", "--config", str(tiny / "config.json"), "--run", str(again)]) == 0
    assert_bit_equal(tiny, again)
    assert checkpoint.load_config(again)[1]["task"] == "go2_velocity"


def test_a_run_goes_on(copy):
    assert main(["train", "--resume", str(copy), "--steps", "2304"]) == 0
    assert json.loads((copy / "checkpoint.json").read_text())["steps"] == 2304


def test_a_run_that_is_over_says_so_and_stays_as_it_is(copy, mistake):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert "has trained all it was asked to (0.00 M steps" in mistake("train", "--resume", str(copy))
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_clips_that_have_changed_are_named(copy):
    config = json.loads((copy / "config.json").read_text())
    config["clips"] = {"walk": "of old"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="clips that are not as they were when the run began: walk"):
        assert main(["train", "--resume", str(copy), "--steps", "2304"]) == 0


def test_a_change_anywhere_in_a_clip_is_noticed(tmp_path):
    clip = load_clips("go2", "stand")[0]
    clip.save(tmp_path / "mine.npz")
    prior = ["--prior.clips", str(tmp_path / "mine.npz"), "--prior.warm-start", "0", "--prior.mirror"]
    run = train(tmp_path / "run", *prior, steps=768)
    config = json.loads((run / "config.json").read_text())
    assert config["clips"] == {"mine": clip.content_hash()}
    clip.qpos[-1, 8] += 0.01
    clip.save(tmp_path / "mine.npz")
    with pytest.warns(UserWarning, match="clips that are not as they were when the run began: mine$"):
        assert main(["train", "--resume", str(run), "--steps", "1536"]) == 0
    # A run of an earlier version has hashes of first halves, and of mirrored clips: it goes on in peace.
    del config["clips_hashed"]
    (run / "config.json").write_text(json.dumps(config | {"clips": {"mine": "of old", "mine[mirrored]": "of old"}}))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="clips that are not")
        assert main(["train", "--resume", str(run), "--steps", "2304"]) == 0


def test_ctrl_c_saves_and_resuming_continues_to_the_same_numbers(tiny, tmp_path, monkeypatch, capfd):
    from robopolicy.progress import Progress

    report = Progress.report
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "report", lambda self: (report(self), signal.raise_signal(signal.SIGINT)))
        folder = train(tmp_path / "run")
    assert f"robopolicy train --resume {folder}" in capfd.readouterr().out
    assert json.loads((folder / "checkpoint.json").read_text())["steps"] == STEPS // 2
    assert main(["train", "--resume", str(folder)]) == 0
    assert_bit_equal(folder, tiny)


def test_a_full_disk_keeps_the_former_checkpoint(copy, mistake, monkeypatch):
    before = (copy / "checkpoint.pt").read_bytes()

    def full(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("robopolicy.progress.Progress._show", lambda *_: None)
    line = mistake("train", "--resume", str(copy), "--steps", "2304")
    assert "No space left on device" in line
    assert "checkpoint.pt" in line
    assert (copy / "checkpoint.pt").read_bytes() == before
    assert not list(copy.glob(".checkpoint*"))
    assert checkpoint.load(copy).sidecar["steps"] == STEPS


def test_eval_prints_one_json_object(tiny, capfd):
    capfd.readouterr()
    assert main(["eval", str(tiny), "--episodes", "8", "--json"]) == 0
    out = capfd.readouterr().out
    result = json.loads(out)
    assert out.count("\n") == 1
    assert {"velocity_rmse_mps", "yaw_rmse_radps", "survival", "style_distance", "episodes"} <= set(result)
    assert result["episodes"] == 8
    assert 0 <= result["survival"] <= 1
    assert result["style_distance"] is None  # this task has no clips


def test_a_run_of_an_earlier_version_goes_on_with_new_robots(copy: Path):
    path = copy / checkpoint.CHECKPOINT
    state = torch.load(path, weights_only=True)
    del state["env"]["version"], state["env"]["starts"]["commands"]
    assert state["env"]["tensors"]["clock"] == STEPS / 32
    torch.save(state, path)
    with pytest.warns(UserWarning, match="the run is from an earlier version; its robots begin new episodes"):
        assert main(["train", "--resume", str(copy), "--steps", "2304"]) == 0
    assert checkpoint.load(copy).sidecar["steps"] == 2304
    now = checkpoint.load(copy).state["env"]
    assert now["tensors"]["clock"] == 2304 / 32  # pushes and ground go on growing from where they were
    # Other robots than those that the seed began with.
    first = train(copy.parent / "first", steps=768)
    assert not torch.equal(now["tensors"]["command"], checkpoint.load(first).state["env"]["tensors"]["command"])


def test_a_run_of_the_first_version_goes_on_too(copy: Path):
    path = copy / checkpoint.CHECKPOINT
    state = torch.load(path, weights_only=True)
    del state["env"]["version"], state["env"]["tensors"]["clock"]
    torch.save(state, path)
    with pytest.warns(UserWarning, match="from an earlier version"):
        assert main(["train", "--resume", str(copy), "--steps", "2304"]) == 0


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("export") / "policy.onnx"
    assert main(["export", str(tiny), "--output", str(file)]) == 0
    return file


def test_an_exported_run_is_verified(exported, tmp_path, capfd):
    capfd.readouterr()
    assert main(["verify", str(exported), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["agrees"] is True
    assert all(check["ok"] for check in result["checks"])
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(exported.read_bytes()[:-100])
    assert main(["verify", str(damaged), "--json"]) != 0
    assert json.loads(capfd.readouterr().out)["agrees"] is False


def test_an_exported_file_is_judged_as_its_run(copy, exported, capfd):
    """In the folder of its run the task is the run's own, flags included: here episodes of 2 s."""
    inside = Path(shutil.copy(exported, copy / "policy.onnx"))
    rewards = []
    for target in (copy, inside):
        capfd.readouterr()
        assert main(["eval", str(target), "--episodes", "8", "--json"]) == 0
        rewards.append(json.loads(capfd.readouterr().out)["reward"])
    assert rewards[1] == pytest.approx(rewards[0], rel=0.02)


def test_the_run_and_the_exported_file_move_alike(tiny, exported):
    from robopolicy.view.performers import find_performer
    from robopolicy.view.play import perform
    from robopolicy.view.tour import held

    run, file = find_performer(tiny), find_performer(exported)
    assert run.channels == file.channels
    parts = held(run.channels, [0.5, 0.0, 0.2])
    states, captions = perform(run, parts, 0.2)
    in_plain_mujoco, same_captions = perform(file, parts, 0.2)
    assert abs(states - in_plain_mujoco).max() < 1e-4
    assert captions[-1].splitlines()[1:] == same_captions[-1].splitlines()[1:]
    assert re.search(r"command +\+0.50 +\+0.00 +\+0.20", captions[0])


def test_play_films_a_run(tiny, tmp_path, capfd):
    film = tmp_path / "film.mp4"
    assert main(["play", str(tiny), "--video", str(film), "--seconds", "0.3", "--command", "2", "0", "0"]) == 0
    assert "vx 2 is outside the trained range" in capfd.readouterr().err
    assert film.stat().st_size > 1000
    assert film.with_suffix(".png").stat().st_size > 1000


def test_a_closed_pipe_is_no_error():
    """`robopolicy list | head -1` ends without a word about it."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "robopolicy.cli", "list"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == ""


# ---- the log of a run that goes on


def test_progress_keeps_its_rows_when_a_run_goes_on(tmp_path):
    from robopolicy.progress import open_logs
    from robopolicy.view.plots import read_progress

    for begin, end in ((0, 30), (20, 50)):  # the second part goes on from a checkpoint at 20 steps
        logger = open_logs(tmp_path, begin)
        for steps in range(begin + 10, end + 1, 10):
            logger.record("time_s", steps / 10)
            logger.record("env_steps", steps)
            if steps == 40:
                logger.record("late", 1.5)
            logger.dump(steps)
        logger.close()
    columns = read_progress(tmp_path / "progress.csv")
    assert columns["env_steps"].tolist() == [10, 20, 30, 40, 50]
    assert columns["late"][3] == 1.5


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_cuda_without_a_gpu_says_what_is_missing(mistake):
    pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
    line = mistake("train", "go2_velocity", "--device", "cuda")
    assert ("torch with CUDA" in line and "pip install" in line) or "nvidia-smi" in line


def test_an_old_driver_is_named(mistake, monkeypatch):
    """As torch says it: with a warning, and then that there is no GPU."""
    pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")

    def finds_none() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your\nsystem is too old (found version 11040).", stacklevel=2
        )
        return False

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", finds_none)
    assert "driver on your system is too old (found version 11040)" in mistake(
        "bench", "go2_velocity", "--device", "cuda"
    )
    with pytest.warns(UserWarning, match="training on the CPU: .*too old"):
        assert choose_device("auto") == "cpu"


def test_a_gpu_that_is_not_there_is_told_from_those_that_are(mistake, monkeypatch):
    pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda") == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    line = mistake("train", "go2_velocity", "--device", "cuda")
    assert "'cuda:2'" in line
    assert "there are: cuda:0, cuda:1" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_warp_cannot_use_is_named():
    gpu = pytest.importorskip("robopolicy.sim.gpu", reason="needs robopolicy[gpu]")
    with pytest.raises(UserError, match=r"Warp .* cannot use cuda:0: .*driver"):
        gpu._require(torch.device("cuda:0"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has"),
        RuntimeError("Failed to allocate 4096 bytes on device 'cuda:0'"),
    ],
)
def test_a_full_gpu_is_one_line(error, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("robopolicy.bench.Loop", full)
    assert main(["bench", "go2_velocity"]) == 2
    said = capsys.readouterr().err
    assert "--num-envs" in said
    assert str(error)[:30] in said
    assert said.count("\n") == 1


def test_other_errors_are_not_called_a_full_gpu(monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("Failed to find a kernel")

    monkeypatch.setattr("robopolicy.bench.Loop", broken)
    with pytest.raises(RuntimeError, match="kernel"):
        main(["bench", "go2_velocity"])


def test_cuda_without_its_engine_says_how_to_get_it(mistake, monkeypatch):
    monkeypatch.setattr("robopolicy.sim.make._has_warp", lambda: False)
    assert "pip install 'robopolicy[gpu]'" in mistake("train", "go2_velocity", "--device", "cuda")


def test_the_gpu_engine_trains_and_goes_on(tmp_path):
    """On Warp's CPU device; too little room for contacts is said once."""
    pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
    small = ["--num-envs", "8", "--ppo.horizon", "4", "--ppo.epochs", "1", "--ppo.minibatches", "1", "--seed", "1"]
    folder = tmp_path / "run"
    argv = ["train", "go2_velocity", "--device", "warp-cpu", "--contacts", "2", *small, "--steps", "64"]
    with pytest.warns(UserWarning, match="more room, --contacts") as said:
        main([*argv, "--run", str(folder)])
    assert len([w for w in said if "--contacts" in str(w.message)]) == 1
    assert checkpoint.load(folder).sidecar["steps"] == 64
    assert main(["eval", str(folder), "--episodes", "4", "--json"]) == 0
    assert main(["train", "--resume", str(folder), "--steps", "96"]) == 0
    assert checkpoint.load(folder).sidecar["steps"] == 96


SPEEDS = ("raw", "current", "env", "collect", "learn", "train")


@pytest.mark.parametrize("device", ["cpu", "warp-cpu"])
def test_bench_prints_speeds_and_shares(device, capfd):
    if device != "cpu":
        pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
    sizes = ["32", "16"] if device == "cpu" else ["4"]
    capfd.readouterr()
    assert main(["bench", "go2_velocity", "--num-envs", *sizes, "--seconds", "0.3", "--device", device, "--json"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    found = json.loads(out)
    found = found["scan"] if len(sizes) > 1 else [found]
    assert [values["num_envs"] for values in found] == [int(size) for size in sizes]
    for values in found:
        speed = {name: values[f"{name}_steps_per_s"] for name in SPEEDS}
        assert min(speed.values()) > 0
        assert "host_syncs_per_step" not in values  # it is a GPU that one waits for
        assert speed["train"] < speed["collect"]
        assert speed["train"] < speed["learn"]
        for name in ("env", "collect", "train"):
            assert values[f"{name}_ratio"] == pytest.approx(speed[name] / speed["raw"], rel=0.5)


def test_a_run_from_before_the_style_weight_has_none(copy: Path):
    path = copy / checkpoint.CONFIG
    config = json.loads(path.read_text())
    assert checkpoint.load_config(copy)[0].prior.adjustable
    del config["settings"]["prior"]["adjustable"]
    path.write_text(json.dumps(config))
    assert not checkpoint.load_config(copy)[0].prior.adjustable
