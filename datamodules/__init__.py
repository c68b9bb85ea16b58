"""Lightning datamodules: each one's list of stages, read top to bottom. The stages live in ``mmcs``."""
