"""Object stores: which files lie at an address, and their bytes. Polars itself reads the order lines.

Options are those of Polars' `storage_options`; they go to the same object_store library underneath.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError, StepError
from pipelines.etl.order_book.files import patterns

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ADDRESS = re.compile(r"^(?P<root>(s3|s3a|gs|gcs|az|azure|abfs|abfss)://[^/]+)/?(?P<key>.*)$")
USER = re.compile(r"(https?://|[a-z0-9]+://(?=[^/@\s]*:))[^/@\s]*@")  # abfss://container@account stays
QUERY = re.compile(r"\?[\w.~%-]+=[^\s\"')]*")  # a wildcard of a path is no query
CLIENT_OPTIONS = re.compile(r"^(aws_|azure_|google_)?(?P<name>allow_http|timeout|connect_timeout|proxy_url)$")
RETRIES: Any = {"max_retries": 3, "retry_timeout": dt.timedelta(seconds=30)}


def is_address(path: str) -> bool:
    """Whether a path is the address of an object store."""
    return ADDRESS.match(path) is not None


def listing(path: str, options: Mapping[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Describe the CSV and Parquet objects that an address means: one object, all below a prefix, or a glob.

    The second list names other objects that lie there.
    """
    root, key = _parts(path)
    prefix, pattern = patterns.split(key)
    with _convert_store_errors(path):
        found = [
            each for page in _obstore().list(_store(root, options), prefix=prefix or None) for each in page
        ]
        if not found and not pattern:
            one = _obstore().head(_store(root, options), key)
            return ([_described(root, one)], []) if key.lower().endswith(patterns.SUFFIXES) else ([], [key])
    chosen, ignored = [], set()
    for each in found:
        parts = each["path"].removeprefix(f"{prefix}/").split("/")
        meant = patterns.meaning(parts, pattern)
        if meant == "order lines":
            chosen.append(_described(root, each))
        elif meant == "ignored":
            ignored.add("/".join([root, *([prefix] if prefix else []), patterns.shown(parts)]))
    return chosen, sorted(ignored)


def describe(path: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Describe one object."""
    root, key = _parts(path)
    with _convert_store_errors(path):
        return _described(root, _obstore().head(_store(root, options), key))


def content(path: str, options: Mapping[str, str]) -> Iterator[bytes]:
    """Bytes of one object, in pieces."""
    root, key = _parts(path)
    with _convert_store_errors(path):
        for piece in _obstore().get(_store(root, options), key).stream():
            yield bytes(piece)


def _parts(path: str) -> tuple[str, str]:
    match = ADDRESS.match(path)
    if match is None:
        raise InputError("this is no address of an object store", found=path)
    return match["root"], match["key"]


def _obstore() -> Any:  # noqa: ANN401 - an extra, which may be absent
    try:
        import obstore  # noqa: PLC0415 - an extra: local files do without
    except ImportError as error:
        raise StepError(
            "an order book in an object store needs the extra: pip install 'overspill[cloud]'"
        ) from error
    return obstore


def _store(root: str, options: Mapping[str, str]) -> ObjectStore:
    from obstore.store import from_url  # noqa: PLC0415

    client: Any = {m["name"]: value for key, value in options.items() if (m := CLIENT_OPTIONS.match(key))}
    config: Any = {key: value for key, value in options.items() if not CLIENT_OPTIONS.match(key)}
    return from_url(root, config=config or None, client_options=client or None, retry_config=RETRIES)


def _described(root: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": f"{root}/{entry['path']}",
        "size": entry["size"],
        "modified": int(entry["last_modified"].timestamp() * 1e9),
        "version": entry["e_tag"] or "",
    }


@contextmanager
def _convert_store_errors(path: str) -> Iterator[None]:
    """Turn the store's errors into one sentence that names the address, without any secret."""
    path = without_secrets(path)
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("there is no such object or bucket", where=path) from error
    except PermissionError as error:
        raise InputError("the object store refuses access", found=_first_line(error), where=path) from error
    except Exception as error:
        if not type(error).__module__.startswith("obstore") and not isinstance(error, OSError | ValueError):
            raise
        if "NoSuchBucket" in str(error):  # a listing tells it in the body of its answer
            raise InputError("there is no such object or bucket", where=path) from error
        raise StepError(f"{path}: the object store failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return without_secrets(str(error).split("\n", maxsplit=1)[0])


def without_secrets(text: str) -> str:
    """A text with addresses, less the names and passwords before their hosts and their queries."""
    return QUERY.sub("", USER.sub(r"\1", text))
