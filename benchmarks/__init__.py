"""Measurements, each as ratios within one run: ``python -m benchmarks.unet_step`` and the like."""
