"""Property tests explore at random at home, the same way in CI; the tests of a file share their fixtures."""

from __future__ import annotations

import os

from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

SLURM = "tests/slurm/"

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


class FilesTogether(LoadFileScheduling):
    """Each file's tests run in one process, and all that need Slurm in the same one.

    xdist's own groups (`--dist loadgroup`, the mark `xdist_group`) do nothing under pytest 9.2: they hang on
    a name of the test that it no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return SLURM if nodeid.startswith(SLURM) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items):
    """Slurm's tests wait more than they work, so they begin first (`--no-loadscope-reorder`)."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLURM))
