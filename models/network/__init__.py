"""The network itself: scaling, features, baselines, transformer, head, sampling and losses."""
