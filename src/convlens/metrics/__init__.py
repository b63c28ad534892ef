"""Numbers from predictions: classification, calibration, intervals, comparison; NumPy only."""
