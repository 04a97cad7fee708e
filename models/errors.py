"""Failures of the network that a user can act on, each one clear sentence."""

from __future__ import annotations


class ModelError(RuntimeError):
    """A failure of the network that is reported as one sentence."""


class DeviceError(ModelError):
    """The device that was asked for is not there or not supported."""


class CheckpointError(ModelError):
    """A checkpoint cannot be read, or does not fit this code."""


class SeriesError(ModelError, ValueError):
    """Series or settings of a forecast that the network cannot answer."""


class ClusterError(ModelError):
    """The processes of a job do not fit together, or one of them is gone."""
