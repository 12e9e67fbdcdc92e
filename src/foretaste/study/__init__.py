"""The front door: `Study`, its verbs, and how a study is opened from a recipe, a model in memory or a folder."""
