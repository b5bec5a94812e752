# SPDX-License-Identifier: MIT
"""Python: passes on standard input, one a line."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "docs/integrate/verify"))
from passes import Passes

sys.stdout.reconfigure(encoding="utf-8")
passes = Passes(sys.argv[1], sys.argv[2])
for line in sys.stdin:
    buyer = passes.buyer(line.rstrip("\n"))
    print(f"yes {buyer['exp']} {buyer['sub']}" if buyer else "no")
