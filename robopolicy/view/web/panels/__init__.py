"""The panels of the page, one module per group."""
