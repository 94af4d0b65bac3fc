"""Side by side with others, as ratios: ``python -m benchmarks.run``."""
