"""Lets the tests of the panel import the tables that they share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
