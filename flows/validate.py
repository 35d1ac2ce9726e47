"""The old name of ``flows/cross_validate.py``, accepted until version 0.3.0."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    print("warning: flows/validate.py is deprecated: use flows/cross_validate.py", file=sys.stderr, flush=True)
    runpy.run_path(str(Path(__file__).with_name("cross_validate.py")), run_name="__main__")
