"""Estimators: params and a task's data make the task's site."""
