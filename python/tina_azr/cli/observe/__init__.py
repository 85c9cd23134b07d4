"""`tina-azr observe`."""
