"""What can go wrong: a person's own mistake, or a number that is no number."""


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


def out_of_memory(error: Exception) -> str | None:
    """What to do about an error that says that the GPU's memory is full, in one line; None for any other error.

    Torch and Warp each have their own words for it.
    """
    said = " ".join(str(error).split())
    warp = "Failed to allocate" in said and "cuda" in said
    if not warp and not any(word in said for word in ("out of memory", "STATUS_ALLOC_FAILED")):
        return None
    return (
        f"the GPU's memory is full; simulate fewer robots (--num-envs), or leave room for fewer contacts: {said[:200]}"
    )


class NonFiniteError(ArithmeticError):
    """A number stopped being finite; the message says which, where and when.

    Attributes:
        field: What holds it, e.g. ``"reward"`` or ``"policy.log_std"``.
        step: Control step within the rollout, None if the field has no time.
        env_index: The environment, None if the field belongs to none.
    """

    def __init__(self, message: str, field: str, step: int | None = None, env_index: int | None = None) -> None:
        super().__init__(message)
        self.field, self.step, self.env_index = field, step, env_index
