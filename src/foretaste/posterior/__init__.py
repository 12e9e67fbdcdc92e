"""Gaussian posteriors over params, the structures of their precision, and the tasks' sites."""
