"""The use cases: check, fit, preview, confirm, run, look. The loops of the product stand here."""
