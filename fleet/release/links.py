"""Symbolic links must stay inside the tree, followed the way a kernel would follow them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: As many links as Linux follows in one path.
_DEPTH: Final = 40


def leaves_tree(path: bytes, links: Mapping[bytes, bytes]) -> bool:
    """Whether following the link at `path` leads out of the tree. `links` maps every link of the tree to its target.

    An absolute target does: it means something else on a host. A target that does not exist is no escape.
    """
    place = path.split(b"/")[:-1]
    left = [links[path]]
    followed = 0
    while left:
        target = left.pop()
        if target.startswith(b"/"):
            return True
        parts = [part for part in target.split(b"/") if part not in (b"", b".")]
        for index, part in enumerate(parts):
            if part == b"..":
                if not place:
                    return True
                place.pop()
                continue
            place.append(part)
            inner = links.get(b"/".join(place))
            if inner is not None:
                followed += 1
                if followed > _DEPTH:
                    return False
                place.pop()
                left += [b"/".join(parts[index + 1 :]), inner]
                break
    return False
