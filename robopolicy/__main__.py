"""``python -m robopolicy`` is the command; ``torchrun -m -- robopolicy train TASK`` starts several processes of it."""

import os
import sys

from robopolicy.cli import main

status = main()
if "TORCHELASTIC_RUN_ID" in os.environ:
    # A thread of torch's process group that still wants the interpreter while it shuts down aborts the process, though
    # all is written: leave without shutting it down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
