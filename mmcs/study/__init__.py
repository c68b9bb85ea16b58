"""The study: every system trained and evaluated alike, settings chosen elsewhere, an answer with intervals (``mmcs study``)."""
