"""The one exception of the runtime."""


class ContractError(Exception):
    """A policy file, a sensor reading or a robot contradicts the contract.

    The message is one line: what was given, where, and what was expected.
    """
