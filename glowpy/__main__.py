"""``python -m glowpy`` is ``glowc``."""

import sys

from glowpy.cli import main

sys.exit(main())
