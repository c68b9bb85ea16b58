"""Train and evaluate one run, or sweep with -m: ``python train.py experiment=two_view``. The same as ``mmcs-train``."""

import sys

from mmcs.train import main

if __name__ == "__main__":
    sys.exit(main())
