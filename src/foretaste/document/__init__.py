"""Reports as plain data, how numbers read in them, and their HTML."""
