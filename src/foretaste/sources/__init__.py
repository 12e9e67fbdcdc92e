"""Sources, which make models and tasks of what a recipe names."""
