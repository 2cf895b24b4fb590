"""What runs on hosts: the agent with its supervisor, and a few shell scripts. Standard library only, Python 3.8 syntax.

It imports nothing else of this project, because it travels to the host alone, as one zip file that Python executes.
"""

from __future__ import annotations
