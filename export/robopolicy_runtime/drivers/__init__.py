"""Drivers: one module per kind of robot; each implements ``robopolicy_runtime.driver.Driver``."""
