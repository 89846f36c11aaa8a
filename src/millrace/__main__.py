"""`python -m millrace` runs the same programme as the command `millrace`."""

import sys

from millrace.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
