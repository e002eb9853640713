"""What the robot installs: the policy's contract, the policy itself, and the proof that they agree."""

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import Controller, PolicyFile

__version__ = "0.1.0"
__all__ = ["Contract", "ContractError", "Controller", "PolicyFile"]
