"""The page in a real browser: what a person does there, and what the robot does then."""

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
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
from robopolicy.view.tour import Channel, held
from robopolicy.view.web.page import Page
from robopolicy.view.web.subject import Plant, RecordedSubject

CHANNELS = (Channel("vx", -0.2, 0.4, "m/s"), Channel("vy", -0.1, 0.1, "m/s"), Channel("wz", -0.6, 0.6, "rad/s"))
PIXELS = os.environ.get("ROBOPOLICY_TEST_DPR", "0.2")  # of the picture per pixel of the page
PATIENCE = 180_000  # [ms]: a page is drawn without a graphics card, beside whatever else the machine does
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

    def __init__(self, host: str = "127.0.0.1"):
        self.subject, self.stop = Glider(), threading.Event()
        self.page = Page(self.subject, held(CHANNELS, [0, 0, 0]), host, _free_port())
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
    served = Served()
    yield served
    served.close()


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
    with pytest.raises(InvalidStatus, match="403"):
        connect(socket_url, origin="http://evil.example", subprotocols=["viser-v1"])  # type: ignore[arg-type]
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
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{port}", subprotocols=["viser-v1"])  # type: ignore[arg-type]
        cookie = f"{page.gate._cookie}={token}"
        assert status_of(here, Cookie=cookie) == 200
        connect(
            f"ws://127.0.0.1:{port}",
            additional_headers={"Cookie": cookie},
            subprotocols=["viser-v1"],  # type: ignore[arg-type]
        ).close()
    finally:
        page.close()


def test_an_address_that_is_not_here_is_refused_at_once():
    with pytest.raises(UserError, match=r"--host 192.0.2.1: cannot listen there"):
        Page(Glider(), held(CHANNELS, [0, 0, 0]), "192.0.2.1")


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


def visit(browser, address: str):
    """A small page with large pixels, since it is drawn without a graphics card."""
    tab = browser.new_page(viewport={"width": 480, "height": 480})
    tab.set_default_timeout(PATIENCE)
    tab.goto(f"{address}?fixedDpr={PIXELS}")
    tab.wait_for_selector(STATUS)
    return tab


def until(tab, condition: str) -> None:
    """Wait for a condition on the status block ``d``, its ``data-`` attributes."""
    tab.wait_for_function(
        f"() => {{ const d = document.querySelector('{STATUS}')?.dataset; return d && ({condition}) }}"
    )


def set_slider(tab, name: str, value: float) -> None:
    """Type into the number beside a slider."""
    row = tab.locator("label", has_text=re.compile(rf"^{re.escape(name)}$")).first
    box = row.locator("xpath=ancestor::*[.//input][1]").locator("input").last
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
    assert served.subject.speed[0] == pytest.approx(0.3, abs=0.05)
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
    while not (served.subject.pushes and served.subject.plant.mass) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert served.subject.plant == Plant(mass=1.5)
    assert served.subject.pushes[0] == pytest.approx([0, 0.5], abs=0.05)
    shoot(first, "plant")
    assert served.page.guard.problems == {}
