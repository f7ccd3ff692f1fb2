"""How much longer than usual the fuzzing tests run: ``scripts/soak`` sets LON_SOAK_EXAMPLES."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("LON_SOAK_EXAMPLES", "1"))
