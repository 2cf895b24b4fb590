"""Train a model: `python trainer.py [MANIFEST] [--set path=value ...]`, the same command as `hydra train`."""

import sys

from hydra.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
