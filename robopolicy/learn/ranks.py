"""Several processes that learn one policy, each with robots of its own: torch.distributed under torchrun.

``torchrun --nproc-per-node 2 -m -- robopolicy train TASK`` starts two. Every process collects from its own robots; what
it learns from is averaged over all, so that they hold the same weights at all times.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

_PATIENCE = timedelta(minutes=5)  # a process that waits longer than this for the others gives up


class Ranks:
    """The processes of a training; by default this one alone, for which every method is the identity.

    Attributes:
        rank: This one's number; 0 writes the files.
        count: How many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @classmethod
    def join(cls, device: str) -> "Ranks":
        """Meet the others, if torchrun started any.

        Args:
            device: Where tensors to be averaged will lie: ``cuda...`` talks over NCCL, everything else over gloo.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # graphs are recorded on the current one, and NCCL talks from it
        if count == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Part from the others; everyone does so at the end."""
        if self.count > 1 and dist.is_initialized():
            dist.barrier()  # a process that leaves while another still listens can tear it down
            dist.destroy_process_group()

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Averages over the ranks, in one message. Same shapes."""
        if self.count == 1:
            return list(tensors)
        message = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(message)
        parts = (message / self.count).split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]

    def share(self, module: nn.Module) -> None:
        """Give everyone the weights and statistics of rank 0."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their averages over the ranks."""
        if self.count > 1:
            having = [p for p in parameters if p.grad is not None]
            for parameter, gradient in zip(having, self.mean([p.grad for p in having]), strict=True):  # type: ignore
                parameter.grad = gradient

    def agree(self, of_main: float, of_any: bool) -> tuple[float, bool]:
        """Rank 0's number, and whether anyone said true."""
        if self.count == 1:
            return of_main, of_any
        message = torch.tensor([of_main if self.rank == 0 else 0.0, float(of_any)], dtype=torch.float64)
        message = message.to("cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(message)
        return float(message[0]), bool(message[1] > 0)


ALONE = Ranks()
