"""The page in a real browser: what a person does there, and what the robot does then."""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

pytest.importorskip("mjviser", reason="the web page needs: pip install 'robopolicy[web]'")

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from robopolicy.errors import UserError
from robopolicy.motion.pose import rotate2
from robopolicy.view.performers import find_performer
from robopolicy.view.tour import Channel, held, tour
from robopolicy.view.web.gamepad import LEGEND, Held
from robopolicy.view.web.page import Page
from robopolicy.view.web.run_subject import RunSubject
from robopolicy.view.web.subject import Plant, RecordedSubject, Subject

CHANNELS = (Channel("vx", -0.2, 0.4, "m/s"), Channel("vy", -0.1, 0.1, "m/s"), Channel("wz", -0.6, 0.6, "rad/s"))
PIXELS = os.environ.get("ROBOPOLICY_TEST_DPR", "0.2")  # of the picture per pixel of the page
PATIENCE = 180_000  # [ms]: a page is drawn without a graphics card, beside whatever else the machine does
SETTLE_S, SAMPLES = 4.0, 5  # time for a trained robot to change its pace [s]; velocities that are read then
TRAINED = "2600000"  # steps, which take two free cores 300 s; after half of them it still trots on the spot
STATUS = '[data-robopolicy="status"][data-time]'


class Glider(RecordedSubject):
    """The droid in the pose of a clip, gliding over the floor as it is told, with some inertia."""

    def __init__(self) -> None:
        super().__init__(find_performer(Path("stand_idle"), "droid"))
        self.dt = 0.1  # few pictures, each of which costs a browser without a graphics card a lot
        self.channels, self.can_change, self.base_mass = CHANNELS, True, 5.0
        self.max_latency, self.step_latency = 0.05, 0.005
        self.plant, self.pushes = Plant(), []

    def start(self):
        self.place, self.speed = np.zeros(3), np.zeros(3)
        return super().start()

    def step(self, command):
        qpos, qvel, _ = super().step(np.zeros(0))
        self.speed += 0.2 * (command - self.speed)
        self.place[:2] += self.dt * rotate2(self.place[2], self.speed[:2])
        self.place[2] += self.dt * self.speed[2]
        qpos, qvel = qpos.copy(), np.zeros_like(qvel)
        qpos[:2] = self.place[:2]
        qpos[3:7] = [np.cos(self.place[2] / 2), 0, 0, np.sin(self.place[2] / 2)]
        qvel[:2], qvel[5] = rotate2(self.place[2], self.speed[:2]), self.speed[2]
        return *self._keep(qpos, qvel), False

    def push(self, velocity):
        self.pushes.append(velocity)

    def change(self, plant):
        self.plant = plant


class Served:
    """A page that runs in a thread."""

    def __init__(self, subject: Subject):
        self.stop = threading.Event()
        self.page = Page(subject, held(subject.channels, [0, 0, 0]), "127.0.0.1", _free_port())
        self.page.server.scene.configure_default_lights(cast_shadow=False)
        self.page.server.scene.configure_environment_map(None)
        self.thread = threading.Thread(target=self.page.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(10)
        self.page.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served(Glider())
    yield served
    served.close()


def glider(served: Served) -> Glider:
    assert isinstance(served.page.subject, Glider)
    return served.page.subject


def soon(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.02)
    return condition()


def status_of(url: str, **headers: str) -> int:
    request = Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        return urlopen(request, timeout=30).status
    except HTTPError as error:
        return error.code


# ---- who may come in, at the real server


def test_the_page_listens_on_loopback_only_and_refuses_foreign_pages(served):
    port = served.page.server.get_port()
    assert served.page.address == f"http://127.0.0.1:{port}/"
    assert status_of(served.page.address) == 200
    assert status_of(served.page.address, Host="evil.example") == 403
    assert status_of(served.page.address, Origin="http://evil.example") == 403
    socket_url = f"ws://127.0.0.1:{port}"
    for where in ("", "/gamepad"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(socket_url + where, origin="http://evil.example", subprotocols=["viser-v1"])  # type: ignore[arg-type]
    with (
        pytest.raises(OSError, match="refused|timed out|unreachable"),
        socket.create_connection((_own_address(), port), 2),
    ):
        pass


def _own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return asked.getsockname()[0]


def test_elsewhere_the_page_asks_for_its_token():
    page = Page(Glider(), held(CHANNELS, [0, 0, 0]), "0.0.0.0", _free_port())
    try:
        port = page.server.get_port()
        here, token = f"http://127.0.0.1:{port}/", page.gate.token
        assert page.address == f"http://{socket.gethostname()}:{port}/?token={token}"
        assert status_of(here) == status_of(f"{here}?token=wrong") == 403
        for where in ("", "/gamepad"):
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"ws://127.0.0.1:{port}{where}", subprotocols=["viser-v1"])  # type: ignore[arg-type]
        assert status_of(f"{here}gamepad.js") == 403
        cookie = f"{page.gate._cookie}={token}"
        assert status_of(here, Cookie=cookie) == 200
        connect(
            f"ws://127.0.0.1:{port}",
            additional_headers={"Cookie": cookie},
            subprotocols=["viser-v1"],  # type: ignore[arg-type]
        ).close()
        connect(f"ws://127.0.0.1:{port}/gamepad", additional_headers={"Cookie": cookie}).close()
    finally:
        page.close()


def test_an_address_that_is_not_here_is_refused_at_once():
    with pytest.raises(UserError, match=r"--host 192.0.2.1: cannot listen there"):
        Page(Glider(), held(CHANNELS, [0, 0, 0]), "192.0.2.1")


# ---- a gamepad's websocket


def held_down(*axes: float, buttons: tuple[int, ...] = ()) -> str:
    return json.dumps({"axes": axes, "buttons": [i in buttons for i in range(17)]})


def test_the_page_carries_the_gamepad_s_script_packed_or_not(served):
    script = urlopen(f"{served.page.address}gamepad.js", timeout=30)
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert b"getGamepads" in script.read()
    plain = urlopen(served.page.address, timeout=30).read()
    packed = urlopen(Request(served.page.address, headers={"Accept-Encoding": "gzip"}), timeout=30)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.read()) == plain
    assert plain.count(b'src="gamepad.js"') == 1


def test_a_gamepad_moves_sliders_and_is_let_go_when_it_says_nothing_or_nonsense(served):
    page, port = served.page, served.page.server.get_port()
    told = lambda: page._command.told(0.0).tolist()  # type: ignore[union-attr] # noqa: E731
    with connect(f"ws://127.0.0.1:{port}/gamepad", origin=f"http://127.0.0.1:{port}") as pad:  # type: ignore[arg-type]
        pad.send(held_down(0.0, -1.0, 0.5))
        assert soon(lambda: told() == [0.4, 0, -0.3])
        assert soon(lambda: told() == [0, 0, 0], 5.0)  # silence
        pad.send(held_down(1.0, 0.0, 0.0, buttons=(2,)))
        assert soon(lambda: told() == [0, -0.1, 0])
        for nonsense in (
            "",
            "{",
            "[]",
            "null",
            b"\x00",
            '{"axes": [1, NaN, 0], "buttons": []}',
            "[" * 1500,
            "9" * 5000,
        ):
            pad.send(nonsense)
        assert soon(lambda: told() == [0, 0, 0], 5.0)
        pad.send(held_down(0.0, 1.0, 0.0, buttons=(14,)))
        assert soon(lambda: told() == [-0.2, 0, 0])
    assert soon(lambda: told() == [0, 0, 0], 0.4), "one that is gone is let go at once"
    assert soon(lambda: len(glider(served).pushes) == 1)
    assert page.guard.problems == {}
    glider(served).pushes.clear()


def test_a_stick_ends_the_tour_and_a_gamepad_at_rest_does_not():
    page = Page(Glider(), tour(CHANNELS), port=0)
    assert page._command is not None
    try:
        for axes, goes_on in (((0.0, 0.05, 0.0), True), ((0.0, -1.0, 0.0), False), ((0.0, 0.0, 0.0), False)):
            page.gamepads._held = {None: Held(axes, frozenset(), time.monotonic())}  # type: ignore[dict-item]
            page._hear_gamepads()
            assert page._command._tour.value == goes_on
            assert goes_on or page._command.told(0.0)[0] == -0.4 * axes[1]
    finally:
        page.close()


# ---- a browser


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs chromium: apt install chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags, timeout=PATIENCE)
        yield browser
        browser.close()


def visit(browser, address: str, script: str = "", width: int = 480):
    """A small page with large pixels, since it is drawn without a graphics card; the script runs before all others."""
    tab = browser.new_page(viewport={"width": width, "height": 480})
    tab.add_init_script(script)
    tab.set_default_timeout(PATIENCE)
    tab.goto(f"{address}?fixedDpr={PIXELS}")
    tab.wait_for_selector(STATUS)
    return tab


def until(tab, condition: str) -> None:
    """Wait for a condition on the status block ``d``, its ``data-`` attributes."""
    tab.wait_for_function(
        f"() => {{ const d = document.querySelector('{STATUS}')?.dataset; return d && ({condition}) }}"
    )


def number(tab, name: str):
    """The number beside a slider."""
    row = tab.locator("label", has_text=re.compile(rf"^{re.escape(name)}$")).first
    return row.locator("xpath=ancestor::*[.//input][1]").locator("input").last


def set_slider(tab, name: str, value: float) -> None:
    """Type into the number beside a slider."""
    box = number(tab, name)
    box.fill(str(value))
    box.press("Enter", timeout=PATIENCE)


def shoot(tab, name: str) -> None:
    """Keep a picture where ``ROBOPOLICY_TEST_PICTURES`` says."""
    folder = os.environ.get("ROBOPOLICY_TEST_PICTURES")
    if folder:
        tab.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.mark.slow
def test_in_a_browser_the_robot_follows_the_slider_and_everyone_sees_it(served, browser):
    first, second = visit(browser, served.page.address), visit(browser, served.page.address)
    until(first, "Math.abs(d.vx) < 0.02")
    set_slider(first, "vx [m/s]", 0.3)
    for tab in (first, second):
        until(tab, "Math.abs(d.vxTold - 0.3) < 0.01 && Math.abs(d.vx - 0.3) < 0.02")
    assert glider(served).speed[0] == pytest.approx(0.3, abs=0.05)
    shoot(first, "drive")
    set_slider(second, "vx [m/s]", -0.1)
    for tab in (first, second):
        until(tab, "Math.abs(d.vx - -0.1) < 0.02")

    # The connection drops, and comes back by itself.
    before = served.page.server.get_clients().keys()
    served.page.server._websock_server.disconnect_all_clients()
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        now = served.page.server.get_clients().keys()
        if len(now) == 2 and not set(now) & set(before):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the browsers did not come back")
    set_slider(first, "vx [m/s]", 0.2)
    until(second, "Math.abs(d.vx - 0.2) < 0.02")
    second.close()

    first.get_by_role("tab", name="Plant").evaluate("e => e.click()")
    set_slider(first, "load [kg]", 1.5)
    first.get_by_role("button", name="left").evaluate("e => e.click()")
    until(first, "d.time > 0")
    deadline = time.monotonic() + PATIENCE / 1000
    while not (glider(served).pushes and glider(served).plant.mass) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert glider(served).plant == Plant(mass=1.5)
    assert glider(served).pushes[0] == pytest.approx([0, 0.5], abs=0.05)
    shoot(first, "plant")
    assert served.page.guard.problems == {}


GAMEPAD = """
  window.pad = { connected: true, mapping: "standard", axes: [0, 0, 0, 0],
                 buttons: [...Array(17)].map(() => ({ pressed: false })) };
  navigator.getGamepads = () => [null, window.pad];
"""


@pytest.mark.slow
def test_in_a_browser_a_gamepad_moves_the_slider_and_the_robot(served, browser):
    tab = visit(browser, served.page.address, GAMEPAD)
    tab.wait_for_selector(f"text={LEGEND}")
    tab.evaluate("pad.axes[1] = -0.75")
    until(tab, "Math.abs(d.vxTold - 0.3) < 0.01 && Math.abs(d.vx - 0.3) < 0.05")
    slider = number(tab, "vx [m/s]").element_handle()
    tab.wait_for_function("box => Math.abs(box.value - 0.3) < 0.01", arg=slider)
    shoot(tab, "gamepad")
    for button, question in ((1, "d.paused == 1"), (1, "d.paused == 0")):
        tab.evaluate(f"pad.buttons[{button}].pressed = true")
        until(tab, question)
        tab.evaluate(f"pad.buttons[{button}].pressed = false")
        tab.wait_for_timeout(1000)
    glider(served).pushes.clear()  # those of other tests
    tab.evaluate("pad.buttons[15].pressed = true")
    assert soon(lambda: len(glider(served).pushes) == 1, PATIENCE / 1000)
    assert glider(served).pushes.pop()[1] < 0
    tab.evaluate("pad.axes[1] = 0.03")
    until(tab, "Math.abs(d.vxTold) < 0.01 && Math.abs(d.vx) < 0.02")
    set_slider(tab, "vx [m/s]", 0.2)  # a stick at rest leaves the slider to the mouse
    until(tab, "Math.abs(d.vxTold - 0.2) < 0.01")
    tab.evaluate("pad.axes[1] = -1")
    until(tab, "Math.abs(d.vxTold - 0.4) < 0.01")
    tab.evaluate("pad.connected = false")
    until(tab, "Math.abs(d.vxTold) < 0.01")
    assert served.page.guard.problems == {}
    tab.close()


@pytest.mark.slow
def test_in_a_browser_a_trained_robot_follows_the_slider(browser, tmp_path):
    run = tmp_path / "go2"
    train = ["-m", "robopolicy", "train", "go2_velocity", "--steps", TRAINED, "--run", str(run)]
    subprocess.run([sys.executable, *train], check=True, timeout=3600)
    served = Served(RunSubject(run))
    try:
        tab = visit(browser, served.page.address, width=800)
        for told, low, high in ((0.6, 0.4, 0.8), (0.0, -0.15, 0.15)):
            set_slider(tab, "vx [m/s]", told)
            until(tab, f"Math.abs(d.vxTold - {told}) < 0.01")
            begun = float(tab.locator(STATUS).get_attribute("data-time"))
            measured = []
            for k in range(SAMPLES):
                until(tab, f"d.time > {begun + SETTLE_S + 0.5 * k}")
                measured.append(float(tab.locator(STATUS).get_attribute("data-vx")))
            shoot(tab, f"trained_{told:g}")
            print(f"told {told:g} m/s, measured {measured}")
            assert low < np.mean(measured) < high
        assert served.page.guard.problems == {}
        tab.close()
    finally:
        served.close()
