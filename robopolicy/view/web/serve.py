"""`robopolicy play --web`: find the subject, open the page, tell its address."""

import threading
from collections.abc import Sequence
from pathlib import Path

from robopolicy.errors import UserError
from robopolicy.view.performers import find_performer
from robopolicy.view.tour import held, tour
from robopolicy.view.web.file_subject import FileSubject
from robopolicy.view.web.page import Page
from robopolicy.view.web.run_subject import RunSubject
from robopolicy.view.web.subject import RecordedSubject, Subject


def serve(
    target: Path,
    command: Sequence[float] | None = None,
    robot: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    robots: int = 1,
) -> None:
    """Show something on a web page until Ctrl-C.

    Args:
        target: As ``robopolicy.view.play.play``.
        command: Held from the beginning; None: a tour of commands.
        robot: Robot of a clip.
        host: Address to listen on.
        port: First port to try.
        robots: How many robots of a run.

    Raises:
        UserError: The target cannot be shown, the command does not fit it, or nothing can listen on the address.
    """
    subject = find_subject(target, robot, robots)
    if command is not None and not subject.channels:
        raise UserError(f"--command is for policies; {subject.title} moves as it was recorded")
    page = Page(subject, tour(subject.channels) if command is None else held(subject.channels, command), host, port)
    print(f"open {page.address} in a browser; Ctrl-C ends", flush=True)
    try:
        page.run(threading.Event())
    except KeyboardInterrupt:
        print()
    finally:
        page.close()


def find_subject(target: Path, robot: str | None = None, robots: int = 1) -> Subject:
    """What a person named, for the page.

    Raises:
        UserError: See ``find_performer``; or several robots are wanted of what is no run.
    """
    is_run = robot is None and target.is_dir()
    if robots < 1 or (robots > 1 and not is_run):
        raise UserError(f"--robots {robots}: only a run has several robots; at least 1")
    if is_run:
        return RunSubject(target, robots)
    if robot is None and target.suffix == ".onnx":
        return FileSubject(target)
    return RecordedSubject(find_performer(target, robot))
