"""Hydra: train language models, one manifest per run, and a substrate for architecture research.

Importing this package is cheap on purpose: it pulls in neither torch nor triton, so that command lines, the fleet and
tools that only read run directories start at once.
"""

__version__ = "0.1.0"
