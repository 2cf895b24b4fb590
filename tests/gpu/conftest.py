"""What must hold before the first matrix product on a GPU."""

from __future__ import annotations

import os

# cuBLAS reads its workspace from here when it is first used; without a fixed one, the tests of exact runs would be
# refused by torch. It makes other tests no different.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
