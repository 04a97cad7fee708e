"""Failures of the network that a user can act on, each one clear sentence."""

from __future__ import annotations


class ModelError(RuntimeError):
    """A failure of the network that is reported as one sentence.

    Attributes
    ----------
    exit_code : int
        Exit status of a command: 1 for a failure, 2 for bad input or configuration.
    """

    exit_code = 1


class DeviceError(ModelError):
    """The device that was asked for is not there or not supported."""

    exit_code = 2


class CheckpointError(ModelError):
    """A checkpoint cannot be read or written, or does not fit this code."""


class RecipeError(CheckpointError):
    """A training was begun with another recipe."""

    exit_code = 2


class SeriesError(ModelError, ValueError):
    """Series or settings of a forecast that the network cannot answer."""

    exit_code = 2


class ClusterError(ModelError):
    """The processes of a job do not fit together, or one of them is gone."""
