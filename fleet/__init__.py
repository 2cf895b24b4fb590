"""Remote training on hosts that are reached over plain SSH: `from fleet import Fleet`.

There is no daemon on a host; what runs there lives exactly as long as its run. Importing this package loads nothing
heavy, so that `fleet --help` answers at once.
"""

from __future__ import annotations
