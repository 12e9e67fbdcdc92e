"""Scripts that move studies of earlier versions to the tables of this one."""
