"""Writes the golden files anew: ``OMP_NUM_THREADS=1 python tests/golden/make.py [NAME ...]``, all studies by default.

Run it only where a revision was raised on purpose, and look at what changed before you commit it.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    runpy.run_module("golden.studies", run_name="__main__")
