"""Measures the lag between a command and its answer by stage, over the last minutes."""
