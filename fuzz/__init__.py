"""Fuzz targets: restkit compared with other programs on inputs that atheris makes.

``python -m fuzz`` runs every target; ``fuzz.targets`` lists them, and ``support.differences`` in
``tests/`` lists the differences that are intended.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parents[1] / "tests")
if _TESTS not in sys.path:
    sys.path.insert(1, _TESTS)  # the targets and the tests share tests/support
