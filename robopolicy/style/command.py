"""``robopolicy style``: what the command line calls."""

import json
from pathlib import Path

from robopolicy.errors import UserError


def style(folders: list[Path], output: Path | None, as_json: bool, episodes: int, seed: int) -> None:
    """Test whether clips shaped policies; print what was found, and write a report.

    Args:
        folders: Run folders.
        output: Where the report goes; by default ``style`` in the first run folder.
        as_json: Print one JSON object instead of tables.
        episodes: Per policy and set of clips.
        seed: Of the episodes.

    Raises:
        UserError: A run or its clips cannot be used, or the report cannot be written.
    """
    if episodes < 4:
        raise UserError(f"--episodes must be at least 4, got {episodes}")
    output = output or folders[0] / "style"
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: not a folder")
    import torch

    torch.set_num_threads(1)
    from robopolicy.style.prove import prove
    from robopolicy.style.report import write_report
    from robopolicy.style.tables import as_text

    proof = prove(folders, episodes, seed)
    files = write_report(proof, output, seed)
    if as_json:
        print(json.dumps(proof.as_dict() | {"files": [str(f) for f in files]}, allow_nan=False))
        return
    print(as_text(proof))
    print(f"wrote {', '.join(str(f) for f in files)}")
