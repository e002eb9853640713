"""The one exception for a person's own mistakes."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message says what was given, where, and what exists. The command line prints it as one line, without a
    traceback, and exits with status 2.
    """


def unknown(kind: str, given: str, known: "list[str] | tuple[str, ...]", where: str = "") -> UserError:
    """The error for a name that does not exist.

    Args:
        kind: What was looked up, e.g. ``"joint"``.
        given: The name as it was given.
        known: Every name that exists.
        where: The file or object it was looked up in, if any.
    """
    place = f" in {where}" if where else ""
    return UserError(f"unknown {kind} {given!r}{place}; known: {', '.join(sorted(known)) or 'none'}")
