"""Run the command line: ``python -m simdrop``."""

import sys

from simdrop._cli import main

if __name__ == "__main__":
    sys.exit(main())
