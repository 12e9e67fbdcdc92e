"""Sources: what a recipe names becomes models and tasks."""
