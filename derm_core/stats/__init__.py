"""Statistics: arrays in, numbers out. Metrics, resampling, intervals, paired differences, gaps, calibration."""
