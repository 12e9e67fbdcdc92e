"""A study on disk: a database and tensor files."""
