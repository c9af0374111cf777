"""`python -m wharf` is the `wharf` command."""

import sys

from wharf.launch.cli import main

sys.exit(main())
