"""A preview or a joint model as something other tools take: a checkpoint."""
