"""Preview methods: one file each, and the work that previews by them."""
