"""What a folder or glob means, of paths on disk and of keys in an object store alike.

A path below some root is a tuple of its parts. A pattern is one as well: `*`, `?` and `[...]` stay within a
part, `**` stands for any number of folders. A folder that a pattern names means all below it. A part that
begins with a dot or an underscore is hidden: it is passed over unless the pattern's own part begins so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

SUFFIXES = (".csv", ".parquet")
WILDCARD = re.compile(r"[*?\[]")
ANY = "**"

Meaning = Literal["order lines", "ignored", "not meant"]


def split(path: str) -> tuple[str, tuple[str, ...]]:
    """The part of a path before its first wildcard, and the pattern below it (without one: nothing)."""
    parts = path.rstrip("/").split("/")
    first = next((place for place, part in enumerate(parts) if WILDCARD.search(part)), len(parts))
    root = "/".join(parts[:first])
    return ("/" if path.startswith("/") and not root else root), tuple(parts[first:])


def meaning(parts: Sequence[str], pattern: Sequence[str]) -> Meaning:
    """Whether a file below the root is one of order lines, lies beside them, or is not meant at all."""
    if not _fits(parts, pattern, hidden=True):
        return "not meant"
    of_kind = parts[-1].lower().endswith(SUFFIXES)
    return "order lines" if of_kind and _fits(parts, pattern, hidden=False) else "ignored"


def may_hold(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether files that are meant may lie below a folder."""
    for part, wanted in zip(folder, pattern, strict=False):
        if wanted == ANY:
            return True
        if not fnmatchcase(part, wanted):
            return False
    return True


def shown(parts: Sequence[str]) -> str:
    """How an ignored file is named: by the first hidden folder on the way to it, if there is one."""
    first = next((place for place, part in enumerate(parts) if _is_hidden(part)), len(parts) - 1)
    return "/".join(parts[: first + 1])


def _fits(parts: Sequence[str], pattern: Sequence[str], *, hidden: bool) -> bool:
    """Whether the pattern names the path or a folder above it; `hidden`: hidden parts are seen, too."""
    if not pattern:
        return hidden or not any(map(_is_hidden, parts))
    first, *others = pattern
    if first == ANY and _fits(parts, others, hidden=hidden):
        return True
    if not parts or not fnmatchcase(parts[0], first):
        return False
    seen = hidden or not _is_hidden(parts[0]) or parts[0][0] == first[0]
    return seen and _fits(parts[1:], pattern if first == ANY else others, hidden=hidden)


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "_"))
