"""Tests of the programs in `tools`, which are not installed."""

from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).parents[2]))
