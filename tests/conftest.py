"""Property tests explore at random at home, the same way in CI; the tests of a file share their fixtures."""

import os

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items):
    """With `--dist loadgroup`, a file's tests run in one process, and all that need Slurm in the same one."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder == "slurm" else str(item.path)))
