"""Whether a server is away, judged by what it was asked for and refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import requests

from forecasting.errors import StepError
from pipelines.runtime.store.retries import GATEWAY

RETRIED = re.compile(r"too many (\d+) error responses")


class UnreachableError(StepError):
    """The server is away, and what is asked for is not at hand."""


def is_unreachable(error: BaseException) -> bool:
    """Whether an error says that the server was not reached; MLflow has already tried several times.

    Refused and broken connections, time-outs and the answers 502 to 504 count, and nothing that a server at
    work answers.
    """
    return any(_is_unreachable(link) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.exceptions.RetryError):
        found = RETRIED.search(str(error))
        return found is not None and int(found[1]) in GATEWAY
    if isinstance(error, requests.exceptions.HTTPError):
        return error.response is not None and error.response.status_code in GATEWAY
    return isinstance(
        error,
        requests.exceptions.ConnectionError
        | requests.exceptions.Timeout
        | requests.exceptions.ChunkedEncodingError,
    )
