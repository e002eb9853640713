"""``python -m robopolicy`` is the command; ``torchrun -m -- robopolicy train TASK`` starts several processes of it."""

import sys

from robopolicy.cli import main

sys.exit(main())
