"""The confidence head: the bins that it learns, its refit, and its calibration."""
