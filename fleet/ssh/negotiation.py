"""From an endpoint to an encrypted connection whose peer has shown its host key; nothing is said about the user yet."""

from __future__ import annotations

#: Seconds for the server to say what it is, and for the key exchange after that.
BANNER = 15.0
EXCHANGE = 15.0
#: Waits in seconds before the second, third and fourth attempt, drawn from these ranges. A server drops connections
#: that come all at once (MaxStartups), so they must not come back all at once.
_WAITS = ((0.02, 0.2), (0.1, 0.6), (0.3, 1.2))
